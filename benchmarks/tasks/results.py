"""What was answered so far, a JSON line each, so that a run that was cut short goes on where it stopped."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

from runtime.errors import InvalidRequest

_FORMAT = "demotic_eval"
_VERSION = 1
_REMEDY = "Name another file with --results, or begin anew with --force."


class Results:
    """The file of a run: a header that says what was asked, then the answers. Each answer is written as it comes."""

    def __init__(self, path: Path, header: Mapping[str, Any], *, force: bool) -> None:
        """Open `path`, or make it; `header` says what is asked: JSON values, by name. `force` begins anew.

        Raises:
            InvalidRequest: the file holds something else, or results of another model, file or setting.
        """
        self.path = path
        self.answers: dict[str, Any] = {}
        header = json.loads(json.dumps({_FORMAT: _VERSION, **header}))
        try:
            before = path.read_text(encoding="utf-8").splitlines(keepends=True) if path.exists() else []
            if before:
                self._require_ours(before[0], None if force else header)
            kept = [] if force else self._read(before[1:])
            # What a program that was killed left of a line is cut off here.
            path.write_text("".join([_line(header), *kept]), encoding="utf-8")
            self._file = path.open("a", encoding="utf-8")
        except (OSError, UnicodeDecodeError) as fault:
            raise InvalidRequest(
                f"{path} cannot be used for results: {fault}.", remedy="Name another file with --results."
            ) from fault

    def add(self, key: str, answer: Any) -> None:
        """Keep an answer, a JSON value."""
        self.answers[key] = answer
        self._file.write(_line({"key": key, "answer": answer}))
        self._file.flush()

    def __enter__(self) -> Results:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def _read(self, lines: list[str]) -> list[str]:
        kept = []
        for line in lines:
            try:
                told = json.loads(line)
                self.answers[told["key"]] = told["answer"]
            except (ValueError, LookupError, TypeError):
                continue
            kept.append(line if line.endswith("\n") else f"{line}\n")
        return kept

    def _require_ours(self, line: str, header: Mapping[str, Any] | None) -> None:
        try:
            found = json.loads(line)
        except ValueError:
            found = None
        if not isinstance(found, dict) or found.get(_FORMAT) != _VERSION:
            raise InvalidRequest(
                f"{self.path} does not hold results of demotic eval.", remedy="Name another file with --results."
            )
        for name in [] if header is None else dict.fromkeys([*header, *found]):
            before, now = found.get(name), header.get(name) if header else None
            if before != now:
                raise InvalidRequest(
                    f"{self.path} holds results with {name} {_shown(before)}, and not {_shown(now)}.", remedy=_REMEDY
                )


def _line(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False) + "\n"


def _shown(value: Any) -> str:
    return "of nothing" if value is None else json.dumps(value, ensure_ascii=False)
