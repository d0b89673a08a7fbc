"""A socket to listen on, bound before any model is loaded, so that a taken port is known at once."""

from __future__ import annotations

import socket

from runtime.errors import AddressInUse, ConfigurationInvalid


def bind(host: str, port: int) -> socket.socket:
    """A listening socket; port 0 is any free one.

    Raises:
        ConfigurationInvalid: it is no address of this machine, or not for everybody to use.
        AddressInUse: another program listens there.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
    except (OSError, OverflowError) as fault:
        raise ConfigurationInvalid(f"{host}:{port} is not an address: {fault}.") from fault
    listener = socket.socket(family, kind, protocol)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind(address)
        listener.listen(socket.SOMAXCONN)
    except OSError as fault:
        listener.close()
        if isinstance(fault, PermissionError):
            message = f"Listening on port {port} is not allowed."
            raise ConfigurationInvalid(message, remedy="Choose a port above 1023.") from fault
        raise AddressInUse(
            f"{host}:{port} cannot be listened on: {fault.strerror}.",
            remedy="Choose another port with --port, or 0 for any free one.",
        ) from fault
    return listener


def url_of(listener: socket.socket) -> str:
    """The address of a socket as people open it."""
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
