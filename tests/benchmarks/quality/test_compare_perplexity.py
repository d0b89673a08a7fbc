"""`benchmarks.compare_perplexity`: llama-perplexity's way to count, against transformers and a stand-in for the tool."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
import torch

from benchmarks.compare_perplexity import main, ours
from benchmarks.quality.opened import OpenedDecoder, open_model
from converters.probes import DECLARATION
from runtime.card import ModelCard
from runtime.errors import DemoticError
from runtime.models.store import Store
from tests.converters.families import Families


def tool(path: Path, answer: str) -> str:
    path.write_text(f"#!/bin/sh\necho '{answer}'\n", encoding="utf-8")
    path.chmod(0o755)
    return str(path)


def test_guesses_in_the_second_half_of_each_chunk_are_counted(families: Families) -> None:
    family = families["llama"]
    text = DECLARATION["eng_Latn"] + DECLARATION["bul_Cyrl"]
    with open_model(ModelCard.read(Store().resolve(str(family.converted.path))), ["a" * 128]) as model:
        assert isinstance(model, OpenedDecoder)
        found, count = ours(model, text)
        tokens = model.tokenizer.encode(text, parse_special=False)
    total = 0.0
    chunks = [[tokens[0], *tokens[at + 1 : at + 128]] for at in range(0, len(tokens) - 127, 128)]
    for chunk in chunks:
        with torch.no_grad():
            logs = torch.log_softmax(family.model(input_ids=torch.tensor([chunk])).logits[0].double(), -1)
        total -= float(sum(logs[at - 1, chunk[at]] for at in range(65, 128)))
    assert len(chunks) > 1
    assert count == 63 * len(chunks)
    assert found == pytest.approx(math.exp(total / count), rel=0.01)


def test_more_than_one_percent_apart_is_a_failure(families: Families, tmp_path: Path) -> None:
    model = str(families["llama"].converted.path)
    binary = tool(tmp_path / "tool", "Final estimate: PPL = 12.5 +/- 0.1")
    assert main(["--binary", binary, "--model", model, "--output", str(tmp_path / "found.json")]) == 1
    found = json.loads((tmp_path / "found.json").read_text(encoding="utf-8"))
    assert {each["theirs"] for each in found["languages"].values()} == {12.5}
    with pytest.raises(DemoticError, match="tells no perplexity"):
        main(["--binary", tool(tmp_path / "other", "nothing"), "--model", model])
    with pytest.raises(DemoticError, match="cannot be run"):
        main(["--binary", str(tmp_path / "none"), "--model", model])
