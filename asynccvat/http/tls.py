"""Make the TLS context of a client: the authorities to trust, and a certificate of its own."""

from __future__ import annotations

import os
import ssl
from dataclasses import dataclass
from pathlib import Path

from asynccvat.errors import ConfigError

# OpenSSL reads the first two itself; curl and the requests library read the others.
_OF_OPENSSL = ("SSL_CERT_FILE", "SSL_CERT_DIR")
_OF_OTHER_PROGRAMS = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")


@dataclass(frozen=True, slots=True)
class Trust:
    """What a client trusts.

    Attributes:
        context: A context for aiohttp; True for its own, False to check nothing.
        authorities: The CA bundle and the variable that names it, "" for the system's.
    """

    context: ssl.SSLContext | bool
    authorities: str = ""


def read_trust(
    verify: bool | str | Path,
    *,
    certificate: str | Path | None,
    key: str | Path | None,
    environment: bool,
) -> Trust:
    """Read the files of certificates. Blocks while it reads.

    Args:
        verify: True for the system's authorities, False to check nothing, or a CA bundle.
        certificate: The file of the client certificate, None for none.
        key: The file of its key, None if the certificate's file holds it.
        environment: Use the CA bundles that variables name, if `verify` is True.

    Raises:
        ConfigError: A file cannot be used.
    """
    trust = _authorities(verify, environment=environment)
    if certificate is None:
        return trust
    context = trust.context
    if not isinstance(context, ssl.SSLContext):
        context = ssl.create_default_context()
        if not trust.context:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
    _load_certificate(context, certificate, key)
    return Trust(context, trust.authorities)


def _authorities(verify: bool | str | Path, *, environment: bool) -> Trust:
    if not isinstance(verify, bool):
        return Trust(_bundle(str(verify)), repr(str(verify)))
    if not verify or not environment:
        return Trust(verify)
    for variable in _OF_OPENSSL:
        if path := os.environ.get(variable):
            # OpenSSL would ignore a file that it cannot read.
            _bundle(path, variable)
            return Trust(ssl.create_default_context(), f"{path!r} ({variable})")
    for variable in _OF_OTHER_PROGRAMS:
        if path := os.environ.get(variable):
            return Trust(_bundle(path, variable), f"{path!r} ({variable})")
    return Trust(verify)


def _bundle(path: str, variable: str = "") -> ssl.SSLContext:
    try:
        if Path(path).is_dir():
            return ssl.create_default_context(capath=path)
        return ssl.create_default_context(cafile=path)
    except OSError as error:  # ssl.SSLError, too
        of = f" that {variable} names" if variable else ""
        raise ConfigError(
            f"the CA bundle {path!r}{of} cannot be used: {_why(error)}. Give a file of "
            "certificates in PEM form."
        ) from error


def _why(error: OSError) -> str:
    """Say why a file of certificates cannot be used; OpenSSL's words name its own source."""
    return "it holds no certificate" if isinstance(error, ssl.SSLError) else str(error.strerror)


def _load_certificate(
    context: ssl.SSLContext, certificate: str | Path, key: str | Path | None
) -> None:
    def no_passphrase() -> str:
        # OpenSSL would ask for it on the terminal, and block the event loop until it is typed.
        raise ConfigError(
            f"the key of the client certificate {str(certificate)!r} has a passphrase. Write it to "
            "a private file without one: openssl pkey -in KEY -out NEWKEY."
        )

    try:
        context.load_cert_chain(certificate, key, password=no_passphrase)
    except OSError as error:  # ssl.SSLError, too
        what = "its key" if key is None else f"the key {str(key)!r}"
        raise ConfigError(
            f"the client certificate {str(certificate)!r} with {what} cannot be used: "
            f"{error.strerror or error}. Give files in PEM form that belong together."
        ) from error
