"""The real Gemma 3 270M, trimmed for Bulgarian and English (seed S52): the same bits, in two fifths of the bytes."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from converters.adapt.proof import Effort
from converters.adapt.request import Request
from converters.adapt.trim import trim
from converters.probes import DECLARATION, LINES
from converters.progress import NoSteps
from runtime.models.files import NoProgress
from runtime.models.inspect import read_header
from runtime.models.trimmed import MAP_KEY


def test_gemma_for_one_language_computes_the_same_bits(gemma_path: Path, tmp_path: Path) -> None:
    texts = tmp_path / "bul.txt"
    words = " ".join(lines[name] for lines in (DECLARATION, LINES) for name in ("bul_Cyrl", "eng_Latn")).split()
    texts.write_text("\n".join(" ".join(words[at : at + 7]) for at in range(len(words))), encoding="utf-8")
    effort = Effort(lines=2, prompts=1, tokens=6)
    done = trim(
        Request(gemma_path, tmp_path / "a.gguf", corpora=(f"bul={texts}",), effort=effort), NoProgress(), NoSteps()
    )
    before, after = read_header(gemma_path), read_header(done.path)
    kept = after.metadata[MAP_KEY]
    assert isinstance(kept, np.ndarray)
    assert len(kept) % 32 == 0
    assert after.tensors["token_embd.weight"].type == before.tensors["token_embd.weight"].type == "Q8_0"
    assert after.file_size < 0.4 * before.file_size
    [source] = done.report.sources
    assert source.held_out.num_covered > 0 == source.held_out.num_differing
    assert 0.9 < source.held_out.coverage < 1
    assert source.proof is not None
    assert source.proof.num_tokens > 5
    assert source.proof.holds
    # All control tokens but the spare rows, all bytes, and what is matched before anything is merged.
    names = set(after.metadata["tokenizer.ggml.tokens"])  # type: ignore[arg-type]
    assert {"<bos>", "<eos>", "<pad>", "<start_of_turn>", "<end_of_turn>", "<0x00>", "<0xFF>", "\n\n"} <= names
    assert not {"<unused0>", "<unused6241>"} & names
