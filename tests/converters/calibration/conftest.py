"""A model of Gemma's shape whose rows all types can pack, and texts in two scripts."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from converters.convert import Request, convert
from converters.probes import LINES
from tests.tiny.checkpoints import save_checkpoint, tiny_gemma3
from tests.tiny.tokenizers import gemma


@dataclass(frozen=True)
class Calibrable:
    """A checkpoint, its GGUF in F16, and files of text by language."""

    model: Any
    path: Path
    texts: dict[str, Path]

    def text_options(self) -> list[str]:
        return [f"{language}={path}" for language, path in self.texts.items()]


@pytest.fixture(scope="session")
def calibrable(tmp_path_factory: pytest.TempPathFactory) -> Calibrable:
    folder = tmp_path_factory.mktemp("calibrable")
    tokenizer = gemma()
    sizes = {"hidden_size": 256, "intermediate_size": 256, "num_hidden_layers": 2, "head_dim": 64}
    model = tiny_gemma3(tokenizer.get_vocab_size(), query_pre_attn_scalar=64, **sizes)
    source = save_checkpoint(folder / "tiny-gemma3", model, tokenizer)
    texts = {}
    for language in ("bul_Cyrl", "tam_Taml"):
        texts[language] = folder / f"{language}.txt"
        texts[language].write_text("\n".join(f"{LINES[language]} {i}" for i in range(30)), encoding="utf-8")
    return Calibrable(model, convert(Request(str(source), folder / "tiny-gemma3-F16.gguf", "f16")).path, texts)
