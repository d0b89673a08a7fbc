"""What the bodies of all of the converters' commands share: what they need, how they end, where they say what."""

from __future__ import annotations

import importlib.util
import json
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from runtime.errors import ConfigurationInvalid

_NEEDED = ("gguf", "torch", "transformers")


def require_extra(*more: str) -> None:
    """Refuse to begin without the packages of the extra `convert`, and `more` of them.

    Raises:
        ConfigurationInvalid: with how to install them.
    """
    require("convert", *_NEEDED, *more)


def require(extra: str, *names: str) -> None:
    """Refuse to begin without these packages of an extra.

    Raises:
        ConfigurationInvalid: with how to install them.
    """
    missing = [name for name in names if importlib.util.find_spec(name) is None]
    if missing:
        raise ConfigurationInvalid(
            f"The converters need {', '.join(missing)}, not installed here.",
            remedy=f"Install the extra: pip install 'demotic[{extra}]'",
        )


@contextmanager
def ending_like_an_interrupt() -> Iterator[None]:
    """Let SIGTERM remove what is half written, as Ctrl-C does."""

    def stop(_number: int, _frame: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def tell(line: str) -> None:
    """A line beside the results."""
    print(line, file=sys.stderr)  # noqa: T201


def print_json(value: object) -> None:
    """The result as one document."""
    print(json.dumps(value, ensure_ascii=False, indent=2))  # noqa: T201
