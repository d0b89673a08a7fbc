"""The file that says which tools a model may be given, `tools.toml` in the configuration folder or any other.

What it names is run with the rights of the program, so that it must come from who runs the program: one that everybody
may write is refused.
"""

from __future__ import annotations

import os
import re
import stat
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from runtime.config import ToolRunConfig, config_dir
from runtime.errors import ConfigurationInvalid

FILE_NAME = "tools.toml"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,31}")
_LIMITS = {limit.name for limit in fields(ToolRunConfig)}
_TableT = TypeVar("_TableT", bound="ServerSettings | FunctionSettings | _Top")


class ServerSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An MCP server: a `command` that is started with `args` and spoken with over pipes, or the `url` of one.

    `env` is added to the few variables that it gets, and `pass_env` names those that it gets of the program's own.
    `token_env` names the variable that holds the token for a `url`.
    """

    command: str | None = None
    args: tuple[str, ...] = ()
    env: dict[str, str] = {}  # msgspec copies it
    pass_env: tuple[str, ...] = ()
    cwd: str | None = None
    url: str | None = None
    token_env: str | None = None


class FunctionSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A Python file whose marked functions are tools."""

    file: str


class _Top(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    approve: tuple[str, ...] = ()
    approve_read_only: bool = False
    limits: dict[str, int | float] = {}  # msgspec copies it
    servers: dict[str, dict[str, Any]] = {}
    functions: dict[str, dict[str, Any]] = {}


@dataclass(frozen=True)
class ToolSettings:
    """Sources of tools by name, which tools run without being asked about, and limits."""

    servers: Mapping[str, ServerSettings] = field(default_factory=dict)
    functions: Mapping[str, FunctionSettings] = field(default_factory=dict)
    approve: tuple[str, ...] = ()
    approve_read_only: bool = False
    limits: ToolRunConfig = field(default_factory=ToolRunConfig)

    @classmethod
    def read(cls, path: Path | None = None) -> ToolSettings:
        """Read a file; None is `tools.toml` in the configuration folder.

        Raises:
            ConfigurationInvalid: it cannot be read, or says what it must not.
        """
        path = (path or config_dir() / FILE_NAME).resolve()
        top = _convert(_load(path), _Top, "", path)
        if unknown := top.limits.keys() - _LIMITS:
            raise ConfigurationInvalid(
                f"{path} has an unknown limit '{min(unknown)}'.", remedy=f"Known: {', '.join(sorted(_LIMITS))}."
            )
        for name, value in top.limits.items():
            if value <= 0 or (not name.endswith("seconds") and not isinstance(value, int)):
                raise ConfigurationInvalid(f"The limit '{name}' in {path} must be a number above 0.")
        for name in (*top.servers, *top.functions):
            if not _NAME.fullmatch(name):
                message = f"'{name}' in {path} is no name for a source of tools."
                raise ConfigurationInvalid(message, remedy="Take up to 32 letters of ASCII, digits, '-' and '_'.")
        servers = {name: _server(table, name, path) for name, table in top.servers.items()}
        functions = {name: _functions(table, name, path) for name, table in top.functions.items()}
        if not servers and not functions:
            raise ConfigurationInvalid(f"{path} names no tools.", remedy="Add a table [servers.NAME].")
        limits = ToolRunConfig(**top.limits)  # type: ignore[arg-type]  # the whole numbers are checked above
        return cls(servers, functions, top.approve, top.approve_read_only, limits)

    def approving(self, names: tuple[str, ...]) -> ToolSettings:
        """The same with more tools that run without being asked about."""
        return replace(self, approve=(*self.approve, *names))


def _load(path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as file:
            if os.fstat(file.fileno()).st_mode & stat.S_IWOTH:
                raise ConfigurationInvalid(f"Everybody may write {path}.", remedy=f"Mend that: chmod o-w {path}")
            return tomllib.load(file)
    except FileNotFoundError:
        message = f"There is no {path}."
        raise ConfigurationInvalid(message, remedy="Write one as docs/tools.md shows, or name another file.") from None
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as fault:
        raise ConfigurationInvalid(f"{path} cannot be read: {fault}.") from fault


def _server(table: Mapping[str, Any], name: str, path: Path) -> ServerSettings:
    server = _convert(table, ServerSettings, f"servers.{name}", path)
    if (server.command is None) == (server.url is None):
        raise ConfigurationInvalid(f"[servers.{name}] in {path} needs either 'command' or 'url'.")
    if server.url is not None and not re.match(r"https?://[^/@]+(/|$)", server.url):
        raise ConfigurationInvalid(f"The 'url' of [servers.{name}] in {path} is no address of a web server.")
    others = {"args", "env", "pass_env", "cwd"} if server.command is None else {"token_env"}
    if wrong := others & table.keys():
        kind = "url" if server.command is None else "command"
        raise ConfigurationInvalid(f"[servers.{name}] in {path} has a '{kind}', so '{min(wrong)}' means nothing.")
    return msgspec.structs.replace(server, cwd=str(path.parent / (server.cwd or "")))


def _functions(table: Mapping[str, Any], name: str, path: Path) -> FunctionSettings:
    settings = _convert(table, FunctionSettings, f"functions.{name}", path)
    file = (path.parent / settings.file).resolve()
    if not file.is_relative_to(path.parent):
        raise ConfigurationInvalid(f"The 'file' of [functions.{name}] is outside of {path.parent}.")
    return FunctionSettings(str(file))


def _convert(table: Mapping[str, Any], kind: type[_TableT], where: str, path: Path) -> _TableT:
    try:
        return msgspec.convert(table, kind)
    except msgspec.ValidationError as fault:
        at = f" in [{where}]" if where else ""
        raise ConfigurationInvalid(f"{path} is wrong{at}: {fault}.") from None
