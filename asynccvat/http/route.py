"""How calls reach the server: what messages about a failed exchange can name."""

from __future__ import annotations

from dataclasses import dataclass

from asynccvat.core.wire.proxies import Proxy


@dataclass(frozen=True, slots=True)
class Route:
    """The way from here to the server.

    Attributes:
        origin: The server.
        host: Its host alone.
        proxy: The proxy on the way, None for none.
        certificate: The file of the client certificate, "" for none.
        answered: Whether the server, or something before it, ever answered.
        authorities: The option or variable that names the CA bundle, "" for the system's.
    """

    origin: str
    host: str
    proxy: Proxy | None = None
    certificate: str = ""
    authorities: str = ""
    answered: bool = False

    @property
    def hint(self) -> str:
        """What to check if the first connections end unanswered, "" if nothing special.

        Some gateways end them without a word if they want another client certificate.
        """
        if self.answered or not self.origin.startswith("https:"):
            return ""
        if self.certificate:
            return f"Check that the server runs, and that it accepts {self.certificate!r}."
        return (
            "Check that the server runs. If a gateway before it wants a client certificate, give "
            "it with --client-cert and --client-key."
        )
