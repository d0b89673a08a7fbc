"""The border to the native library: its log lines kept off the terminal, the last error line at hand."""

from __future__ import annotations

import ctypes
import logging
import os
from collections import deque
from functools import cache

# Without this an abort in ggml starts a debugger on the process.
os.environ.setdefault("GGML_NO_BACKTRACE", "1")

import llama_cpp

_LEVELS = {1: logging.DEBUG, 2: logging.INFO, 3: logging.WARNING}
_ERROR_LEVEL = 3
_log = logging.getLogger("demotic.llama")
_last_errors: deque[str] = deque(maxlen=8)


@llama_cpp.llama_log_callback  # type: ignore[untyped-decorator]  # a ctypes function type
def _on_log(level: int, text: bytes, _user_data: object) -> None:
    line = text.decode("utf-8", "replace").rstrip()
    if level == _ERROR_LEVEL and line:
        _last_errors.append(line)
    _log.log(_LEVELS.get(level, logging.DEBUG), "%s", line)


@cache
def initialise() -> None:
    """Start llama.cpp once a process, with its log going to the logger `demotic.llama`."""
    llama_cpp.llama_log_set(_on_log, ctypes.c_void_p(0))
    llama_cpp.llama_backend_init()


def take_last_error() -> str:
    """The last error line since this was asked before, without llama.cpp's function names; '' when there was none."""
    line = _last_errors[-1] if _last_errors else ""
    _last_errors.clear()
    return line.rsplit(": ", 1)[-1] if line else ""
