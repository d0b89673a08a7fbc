"""The comparison with sentence-transformers, against a stand-in for that package."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest

from benchmarks.compare_encoders import main, texts_of
from runtime.errors import DemoticError
from tests.converters.onnx.sources import Sources
from tests.runtime.onnx.reference import computed, model_of, tokenizer_of

TEXTS = ["A cat sat on a mat.", "Subject to the terms and conditions of this License", "котка"]
# It knows the vectors of some texts, and takes a while for them.
PACKAGE = """
import json, numpy, pathlib, time
__version__ = "1.2"
class SentenceTransformer:
    def __init__(self, folder, device):
        self.known = json.loads(pathlib.Path(__file__).with_name("vectors.json").read_text())
    def encode(self, texts, **options):
        time.sleep(0.01)
        return numpy.array([self.known[text] for text in texts], "f4")
"""
TORCH = "__version__ = '3.4'\ndef set_num_threads(count): pass\n"


def test_both_sides_encode_the_same_texts_and_must_agree(
    sources: Sources, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tokenizer, model = tokenizer_of(sources, "bert"), model_of(sources, "bert", "features")
    means = [computed(model, tokenizer(text).input_ids).mean(axis=0) for text in TEXTS]
    vectors = [(mean / np.linalg.norm(mean)).tolist() for mean in means]
    (tmp_path / "sentence_transformers.py").write_text(PACKAGE, encoding="utf-8")
    (tmp_path / "torch.py").write_text(TORCH, encoding="utf-8")
    (tmp_path / "vectors.json").write_text(json.dumps(dict(zip(TEXTS, vectors, strict=True))), encoding="utf-8")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=":")
    monkeypatch.setattr("benchmarks.compare_encoders.texts_of", lambda count: TEXTS[:count])
    words = ["--model", str(sources.exported("bert").path), "--source", str(sources.checkpoint("bert")), "--texts", "3"]
    words += ["--reference-python", sys.executable, "--alternations", "2", "--results", str(tmp_path)]
    assert main(words) == 0
    result = json.loads((tmp_path / "encoders-bert-onnx.json").read_text(encoding="utf-8"))
    assert result["reference"] == {"sentence-transformers": "1.2", "torch": "3.4"}
    assert 0 < result["largest_difference"] < 1e-4
    for batch, most in (("1", 100), ("32", 300)):
        ours, theirs = (result["texts_per_second"][batch][side] for side in ("demotic", "reference"))
        assert len(ours) == len(theirs) == 2 and 0 < max(theirs) <= most
        assert result["ratios"][batch] == pytest.approx(np.median(np.divide(ours, theirs)))
    with pytest.raises(DemoticError, match=r"The vectors differ by .*, and may by 0"):
        main([*words, "--max-difference", "0"])


def test_the_texts_are_the_same_each_time_and_of_many_lengths() -> None:
    texts = texts_of(64)
    lengths = [len(text.split()) for text in texts]
    assert texts == texts_of(64)
    assert 4 <= min(lengths) < 12 and 88 < max(lengths) <= 96
