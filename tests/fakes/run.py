"""`demotic` with a model that says what a test wants: only the loading of a backend is replaced.

`python -m tests.fakes.run ANSWERS ARGUMENTS...`, where ANSWERS is a JSON list, the first one for the first turn. The
model is a file that `scripted_model` writes.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any
from unittest.mock import patch

import demotic
from runtime import model
from runtime.backends.load import LoadedDecoder
from runtime.hardware.plan import Plan
from tests.fakes.decoder import ByteTokenizer
from tests.fakes.scripted import CONTEXT, TEMPLATE, SureDecoder, next_of
from tests.tiny.gguf import write_tiny_gguf


def scripted_model(folder: Path) -> Path:
    """A file that passes for a model."""
    return write_tiny_gguf(folder / "scripted.gguf", chat_template=TEMPLATE)


def command(answers: list[str], *arguments: str) -> list[str]:
    """How to start it."""
    return [sys.executable, "-m", "tests.fakes.run", json.dumps(answers), *arguments]


def main() -> None:
    answers = json.loads(sys.argv.pop(1))

    def load_decoder(_path: Path, plan: Plan, **_: Any) -> LoadedDecoder:
        decoder = SureDecoder(next_of(answers), context_length=CONTEXT, num_cells=CONTEXT * 4, batch_size=4096)
        return LoadedDecoder(decoder, ByteTokenizer(), decoder.close, plan)

    with patch.object(model, "load_decoder", load_decoder):
        demotic.main()


if __name__ == "__main__":
    main()
