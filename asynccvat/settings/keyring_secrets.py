"""Keep the secrets of logins in the system's keyring, through the optional package `keyring`.

An entry names the server, too. So a changed list of logins sends no secret to another server.
"""

from __future__ import annotations

from typing import Any

from asynccvat.core.login_secrets import LoginSecrets, as_entry, from_entry
from asynccvat.errors import ConfigError

_INSTALL = "It needs a package: pip install 'asynccvat[keyring]'"


def unusable() -> str | None:
    """Say why there is no keyring to use, None if there is one. Blocks."""
    try:
        keyring = _keyring()
    except ImportError:
        return f"the system's keyring cannot be used. {_INSTALL}"
    try:
        # It excludes the backends that fail, that keep nothing, and plain text files.
        if keyring.core.recommended(keyring.get_keyring()):
            return None
    except Exception as error:  # noqa: BLE001 - a backend that its user configured may be anything
        return f"the system's keyring cannot be used: {str(error).rstrip('.')}"
    return "this system has no keyring that runs"


def read_secrets(address: str, name: str) -> LoginSecrets:
    """Return the secrets of a login. Blocks, and a locked keyring may ask the user to unlock it.

    Raises:
        ConfigError: The keyring cannot be read, or has no such token.
    """
    text = _do("read", "get_password", _service(address), name)
    secrets = from_entry(str(text)) if text else None
    if secrets is None:
        raise ConfigError(
            f"the system's keyring has no token for the login {name!r} at {address}. Run: "
            f"asynccvat login {address}"
        )
    return secrets


def write_secrets(address: str, name: str, secrets: LoginSecrets) -> None:
    """Keep the secrets of a login. Blocks.

    Raises:
        ConfigError: The keyring cannot be written.
    """
    _do("write", "set_password", _service(address), name, as_entry(secrets))


def remove_secrets(address: str, name: str) -> None:
    """Remove the secrets of a login, if it is there. Blocks.

    Raises:
        ConfigError: The keyring cannot be written.
    """
    if _do("read", "get_password", _service(address), name) is not None:
        _do("write", "delete_password", _service(address), name)


def _service(address: str) -> str:
    return f"asynccvat {address}"


def _keyring() -> Any:
    import keyring  # noqa: PLC0415 - an optional package, which takes long to load
    import keyring.core  # noqa: PLC0415 - the same

    return keyring


def _do(verb: str, call: str, *arguments: str) -> Any:
    try:
        return getattr(_keyring(), call)(*arguments)
    except ImportError:
        raise ConfigError(f"the token is in the system's keyring. {_INSTALL}") from None
    except Exception as error:  # noqa: BLE001 - each backend has errors of its own
        why = type(error).__name__ if not str(error) else str(error).rstrip(".!")
        locked = "locked" in f"{type(error).__name__} {error}".lower()
        problem = f"cannot {verb} the system's keyring: {why}"
    remedy = "Unlock it" if locked else "Check that it runs"
    # Raised outside the handler: a backend's error may hold what was to be kept.
    raise ConfigError(
        f"{problem}. {remedy}, or log in with `asynccvat login --store file`, which keeps the "
        "token in a file."
    )
