"""What is asked wrongly of graphs, and graphs that are no good, are answered over HTTP by name; the others go on."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import tokenizers

from tests.converters.onnx.sources import Sources
from tests.runtime.onnx.folders import copied
from tests.runtime.onnx.serving import serving_here
from tests.runtime.onnx.test_translate import post

SOUND = ("t5", "gpt2", "bert-pairs", "llama-reward")
LONG = "една котка седи " * 6250


@pytest.fixture(scope="module")
def mixed(sources: Sources, tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """A server of sound models and of broken ones, each of which is loaded when it is asked for."""
    folder = tmp_path_factory.mktemp("broken")
    half, empty, other, grown = (
        copied(sources, model, folder / name)
        for name, model in (("half", "t5"), ("empty", "gpt2"), ("other", "t5"), ("grown", "t5"))
    )
    (half / "decoder.onnx").write_bytes((half / "decoder.onnx").read_bytes()[:5000])
    (empty / "model.onnx").write_bytes(b"")
    shutil.copyfile(sources.exported("gpt2").path / "model.onnx", other / "encoder.onnx")
    _add_tokens(grown / "tokenizer.json")
    broken = {"half": half, "empty": empty, "other": other, "grown": grown}
    with serving_here({**{name: sources.exported(name).path for name in SOUND}, **broken}) as client:
        yield client


def _add_tokens(path: Path) -> None:
    library = tokenizers.Tokenizer.from_file(str(path))
    library.add_tokens([f"token {number}" for number in range(1000)])
    library.save(str(path))


def fault(mixed: httpx.Client, path: str, status: int, **body: Any) -> dict[str, Any]:
    answer = mixed.post(path, json=body)
    assert answer.status_code == status, answer.text
    found: dict[str, Any] = answer.json()["error"]
    return found


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("half", r"decoder.onnx is no sound ONNX graph"),
        ("empty", r"model.onnx is no sound ONNX graph"),
        ("other", r"has the inputs"),
        ("grown", r"tokenizer.json has tokens up to 1401, but the graph's embedding has 402 rows"),
    ],
)
def test_a_broken_folder_is_told_of_each_time_and_the_other_models_answer(
    name: str, said: str, mixed: httpx.Client
) -> None:
    for _ in range(2):
        error = fault(mixed, "/v1/completions", 500, model=name, prompt="A cat", max_tokens=2)
        assert error["code"] == "model_file_invalid"
        assert said in error["message"]
        assert "Export the model anew" in error["message"]
    assert post(mixed, "/v1/completions", model="t5", prompt="A cat", max_tokens=2)["choices"]


def test_prompts_that_are_empty_or_too_long_are_told_of(mixed: httpx.Client) -> None:
    assert len(LONG) == 100_000
    assert fault(mixed, "/v1/completions", 400, model="gpt2", prompt="")["param"] == "prompt"
    # What an encoder-decoder reads of an empty text is its end.
    assert post(mixed, "/v1/completions", model="t5", prompt="", max_tokens=2)["usage"]["prompt_tokens"] == 1
    for name in ("gpt2", "t5"):
        for more in ({}, {"num_beams": 2}) if name == "t5" else ({},):
            error = fault(mixed, "/v1/completions", 400, model=name, prompt=LONG, max_tokens=2, **more)
            assert (error["code"], error["param"]) == ("context_length_exceeded", "prompt")


@pytest.mark.parametrize("name", ["bert-pairs", "llama-reward"])
def test_pairs_of_which_a_text_is_empty_or_too_long_are_told_of(name: str, mixed: httpx.Client) -> None:
    error = fault(mixed, "/v1/score", 400, model=name, text_1="a", text_2=["b", ""])
    assert error["message"] == "text_2[1] is empty."
    for query in ("", " ") if name == "bert-pairs" else ("",):
        error = fault(mixed, "/v1/score", 400, model=name, text_1=query, text_2=["a", "b"])
        assert error["message"] == "The query of text_2[0] is empty."
    for first, second in (("a", LONG), (LONG, "a")):
        error = fault(mixed, "/v1/score", 400, model=name, text_1=first, text_2=second)
        assert (error["code"], error["param"]) == ("context_length_exceeded", "text_2")
    error = fault(mixed, "/v1/rerank", 400, model=name, query="a", documents=["b", LONG])
    assert (error["code"], error["param"]) == ("context_length_exceeded", "documents[1]")
    assert post(mixed, "/v1/score", model=name, text_1="a", text_2=LONG, truncate=True)["usage"]["prompt_tokens"] > 100
