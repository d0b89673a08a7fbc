"""A server that runs already, and whose address the person gives: any endpoint of OpenAI's shape."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable
from dataclasses import replace
from types import TracebackType
from typing import Protocol, Self
from urllib.parse import urlsplit

from runtime.errors import ConfigurationInvalid
from tui.events import Endpoint
from tui.words import _


class Server(Protocol):
    """What a chat speaks to, while it is entered; entering returns at once.

    `on_share` is told how much of a model is loaded, from 0 to 1, where that is known.
    """

    on_share: Callable[[float], None]

    async def __aenter__(self) -> Self:
        """Begin."""

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """End."""

    async def endpoint(self) -> Endpoint:
        """Wait until it answers; DemoticError where it never will."""


class Joined:
    """`Server` of an address: nothing is started, loaded or ended."""

    def __init__(self, address: Endpoint) -> None:
        self.address = address
        self.on_share: Callable[[float], None] = lambda _share: None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        pass

    def of(self, model: str | None) -> Joined:
        """The same, where `model` answers; None is the first one that it has."""
        return Joined(replace(self.address, model=model or ""))

    async def endpoint(self) -> Endpoint:
        """The address as it is: whether somebody answers there shows with the first request."""
        return self.address


def joined(url: str, *, api_key: str = "", insecure: bool = False) -> Joined:
    """The server at `url`.

    A key goes unencrypted to another machine only where `insecure` says that this is meant.

    Raises:
        ConfigurationInvalid: `url` is no address, the key cannot be sent, or would be sent in clear.
    """
    host, is_encrypted = _checked(url)
    api_key = api_key.strip()
    if not api_key.isascii() or not (api_key or "x").isprintable():
        raise ConfigurationInvalid("The API key has characters that no key has.", remedy="Copy it once more.")
    is_here = is_loopback(host)
    notices: tuple[str, ...] = ()
    if api_key and not is_encrypted and not is_here:
        if not insecure:
            raise ConfigurationInvalid(
                f"The API key would go unencrypted to {host}, where whoever is in between can read it.",
                remedy="Use https://, a tunnel to this machine, or say --insecure.",
            )
        notices = (_("The API key goes unencrypted to {host}.").format(host=host),)
    return Joined(Endpoint(url.strip().rstrip("/"), api_key, notices, is_here=is_here))


def is_loopback(host: str) -> bool:
    """Whether `host` is this machine."""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _checked(url: str) -> tuple[str, bool]:
    """The host of an address, and whether what goes there is encrypted."""
    try:
        parts = urlsplit(url.strip())
        _port, host = parts.port, parts.hostname
    except ValueError as fault:
        raise _no_address(url) from fault
    if parts.scheme not in {"http", "https"} or not host or parts.query or parts.fragment:
        raise _no_address(url)
    if parts.username is not None or parts.password is not None:
        raise ConfigurationInvalid("The address has a name or a password in it.", remedy="Give a key with --api-key.")
    return host, parts.scheme == "https"


def _no_address(url: str) -> ConfigurationInvalid:
    return ConfigurationInvalid(
        f"'{url}' is no address of a server.", remedy="Write it like http://127.0.0.1:8080 or https://host/v1."
    )
