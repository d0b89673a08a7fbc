"""The way out of a script that compares."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import NoReturn

from runtime.errors import DemoticError


def leave_with(main: Callable[[], int]) -> NoReturn:
    """End with the exit status of `main`, or with 2 and one line where it failed."""
    try:
        sys.exit(main())
    except DemoticError as error:
        print(error, file=sys.stderr)
        sys.exit(2)
