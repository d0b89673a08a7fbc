"""What a person chose in the chat and is to find again: a setting of the configuration file, written by the chat."""

from __future__ import annotations

import json
import re
import tomllib

from runtime.config import config_dir
from runtime.errors import ConfigurationInvalid
from runtime.models.files import write_atomically


def remember(key: str, value: str) -> None:
    """Write a setting of `config.toml`, a string; all else in the file, comments too, stays as it is.

    Raises:
        ConfigurationInvalid: the file cannot be read or written, or the setting not be found in it.
    """
    path = config_dir() / "config.toml"
    line = f"{key} = {json.dumps(value, ensure_ascii=False)}"
    try:
        text = path.read_text(encoding="utf-8") if path.exists() else ""
        before = tomllib.loads(text)
        changed = _with_line(text, key, line)
        if tomllib.loads(changed) != before | {key: value}:
            raise ConfigurationInvalid(f"'{key}' in {path} cannot be changed here.", remedy=f"Write {line} there.")
        # Where it is a link, what it leads to is written.
        write_atomically(path.resolve(), changed)
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as fault:
        raise ConfigurationInvalid(f"{path} cannot be changed: {fault}.") from fault


def _with_line(text: str, key: str, line: str) -> str:
    pattern = re.compile(rf"^[ \t]*{re.escape(key)}[ \t]*=[ \t]*(?:\"[^\"\n]*\"|'[^'\n]*')", re.MULTILINE)
    if pattern.search(text):
        return pattern.sub(lambda _found: line, text, count=1)
    # Before all else: behind a table it would be a key of that.
    return f"{line}\n{text}"
