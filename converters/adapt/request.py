"""What is asked of a trim."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from converters.adapt.proof import Effort
from converters.adapt.selection import Limits


@dataclass(frozen=True)
class Request:
    """What is asked for: `languages` and `scripts` as a person names them, `corpora` as FILE or LANGUAGE=FILE."""

    source: Path
    output: Path
    languages: tuple[str, ...] = ()
    corpora: tuple[str, ...] = ()
    scripts: tuple[str, ...] = ()
    limits: Limits = field(default_factory=Limits)
    keep: Path | None = None
    adapters: tuple[Path, ...] = ()
    verify: bool = True
    force: bool = False
    effort: Effort = field(default_factory=Effort)
