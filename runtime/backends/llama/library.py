"""The border to the native library: its log lines kept off the terminal, the last error line at hand."""

from __future__ import annotations

import ctypes
import logging
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

# Without this an abort in ggml starts a debugger on the process.
os.environ.setdefault("GGML_NO_BACKTRACE", "1")

import llama_cpp

# ggml.h, enum ggml_log_level; 5 goes on with the line before.
_ERROR_LEVEL = 4
_LEVELS = {1: logging.DEBUG, 2: logging.INFO, 3: logging.WARNING, _ERROR_LEVEL: logging.ERROR}
_log = logging.getLogger("demotic.llama")
_MAX_ERRORS = 8
_errors: list[str] = []
_listeners: list[list[str]] = []
_WORDS = re.compile(r"\w")
_FUNCTION_NAMES = re.compile(r"^(?:\w+: )+")


@llama_cpp.llama_log_callback  # type: ignore[untyped-decorator]  # a ctypes function type
def _on_log(level: int, text: bytes, _user_data: object) -> None:
    line = text.decode("utf-8", "replace").rstrip()
    # Some errors are framed by lines of signs.
    if level == _ERROR_LEVEL and _WORDS.search(line) and len(_errors) < _MAX_ERRORS:
        _errors.append(line.strip())
    for lines in _listeners:
        lines.append(line)
    _log.log(_LEVELS.get(level, logging.DEBUG), "%s", line)


@cache
def initialise() -> None:
    """Start llama.cpp once a process, with its log going to the logger `demotic.llama`."""
    llama_cpp.llama_log_set(_on_log, ctypes.c_void_p(0))
    llama_cpp.llama_backend_init()


@contextmanager
def listening() -> Iterator[list[str]]:
    """All that llama.cpp says meanwhile, a line an entry: some figures it tells in no other way."""
    lines: list[str] = []
    _listeners.append(lines)
    try:
        yield lines
    finally:
        _listeners.remove(lines)


def take_error() -> str:
    """Why llama.cpp failed since this was asked before: its first error line, for the later ones only say that it did.

    The names of its functions are left out; '' when it said nothing.
    """
    line = _errors[0] if _errors else ""
    _errors.clear()
    return _FUNCTION_NAMES.sub("", line).rstrip(".")
