"""Who may use the endpoint, as the command line says it: keys, origins of web pages, and the address to listen on."""

from __future__ import annotations

import ipaddress
import logging
import os
import re
import stat
from collections.abc import Sequence
from pathlib import Path

from runtime.errors import ConfigurationInvalid

_log = logging.getLogger("demotic.serve")

# As browsers write the header `Origin`: lower case, and nothing behind the host and the port.
_ORIGIN = re.compile(r"[a-z][a-z0-9+.-]*://[^\s/?#@A-Z*]+")


def gather_keys(given: Sequence[str], file: Path | None) -> tuple[str, ...]:
    """The keys of the command line and those in `file`, one a line; blank lines and those that begin with # are not.

    Raises:
        ConfigurationInvalid: a key is empty, or the file cannot be read or holds none.
    """
    keys = tuple(key.strip() for key in given)
    if not all(keys):
        raise ConfigurationInvalid("An API key is empty.")
    return keys if file is None else keys + _read_keys(file)


def check_origins(origins: Sequence[str], *, has_keys: bool) -> None:
    """Refuse what no browser would send as its origin, and "*" where there is no key.

    Raises:
        ConfigurationInvalid: one of `origins` is such.
    """
    for origin in origins:
        if origin == "*" and not has_keys:
            raise ConfigurationInvalid(
                "Every web page could use these models: '*' stands for all origins, and there is no API key.",
                remedy="Name the origins, or give a key with --api-key or --api-key-file.",
            )
        if origin != "*" and not _ORIGIN.fullmatch(origin):
            raise ConfigurationInvalid(
                f"'{origin}' is no origin of web pages.",
                remedy="Write it as browsers do, without a path: http://localhost:3000.",
            )


def is_open(address: tuple[str, int], *, has_keys: bool, insecure: bool) -> bool:
    """Whether whoever reaches `address` may use the models; where that is on purpose, it is said in one line.

    Raises:
        ConfigurationInvalid: other machines reach it, there is no key, and `insecure` does not say that this is meant.
    """
    host, port = address
    if has_keys or ipaddress.ip_address(host).is_loopback:
        return False
    if not insecure:
        raise ConfigurationInvalid(
            f"{host} can be reached from other machines, and there is no API key.",
            remedy="Give one with --api-key or --api-key-file, listen on 127.0.0.1, or say --insecure.",
        )
    _log.warning("whoever reaches %s port %d can use these models: there is no API key", host, port)
    return True


def _read_keys(file: Path) -> tuple[str, ...]:
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
        mode = file.stat().st_mode
    except (OSError, UnicodeDecodeError) as fault:
        raise ConfigurationInvalid(f"{file} cannot be read: {fault}.") from fault
    keys = tuple(key for line in lines if (key := line.strip()) and not key.startswith("#"))
    if not keys:
        raise ConfigurationInvalid(f"{file} holds no API key.", remedy="Write one key a line.")
    if os.name == "posix" and mode & (stat.S_IRGRP | stat.S_IROTH):
        _log.warning("other users of this machine can read the keys in %s; `chmod 600 %s` ends that", file, file)
    return keys
