"""Beam search of demotic over ONNX graphs and of CTranslate2 over the same weights, in turns, as a ratio.

    python -m venv ENVIRONMENT && ENVIRONMENT/bin/pip install ctranslate2
    python -m benchmarks.compare_ctranslate2 --python ENVIRONMENT/bin/python

The weights are random, in the proportions of NLLB-600M scaled down: half of its width and of its layers, and a
vocabulary that is as much larger than the width. Every answer has as many tokens as the job says, so that both compute
the same number of steps. Both have float32 weights and as many threads.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.ctranslate2_side import name_of
from benchmarks.machine import fingerprint
from benchmarks.report import table
from benchmarks.script import leave_with
from runtime.backends.load import LoadedDecoder, load_decoder
from runtime.card import ModelCard
from runtime.config import EngineConfig
from runtime.engine.beam_search import Beams
from runtime.engine.engine import Engine
from runtime.engine.messages import Delta, Event, Failed, Generate
from runtime.engine.rules import Rules
from runtime.engine.sampling import SamplingParams
from runtime.errors import DemoticError
from runtime.hardware.probe import probe
from runtime.models.store import ModelFile

RESULT = Path(__file__).parent / "results" / "ctranslate2.json"
SIDE = Path(__file__).with_name("ctranslate2_side.py")
WANTED = 1.0
WIDTH, LAYERS, HEADS, FEED_FORWARD, VOCABULARY = 512, 6, 8, 2048, 128_000
NUM_BEAMS, LENGTH = 4, 32
BATCHES = (1, 16)


def make_checkpoint(folder: Path) -> None:
    """Write an M2M100 with random weights, and a vocabulary of made-up words."""
    import tokenizers
    import torch
    import transformers

    torch.manual_seed(0)
    config = transformers.M2M100Config(
        vocab_size=VOCABULARY, d_model=WIDTH, encoder_layers=LAYERS, decoder_layers=LAYERS,
        encoder_attention_heads=HEADS, decoder_attention_heads=HEADS, encoder_ffn_dim=FEED_FORWARD,
        decoder_ffn_dim=FEED_FORWARD, max_position_embeddings=256, decoder_start_token_id=2,
    )  # fmt: skip
    model: Any = transformers.M2M100ForConditionalGeneration(config)
    with torch.no_grad():
        for weight in model.parameters():
            if weight.ndim > 1:
                weight.normal_(0, 1.3 * weight.shape[-1] ** -0.5)
    model.save_pretrained(folder)
    words = {name_of(token): token for token in range(4, VOCABULARY)}
    marks = {"<s>": 0, "<pad>": 1, "</s>": 2, "<unk>": 3}
    library = tokenizers.Tokenizer(tokenizers.models.WordLevel(words | marks, unk_token="<unk>"))  # noqa: S106  # no password
    library.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    library.add_special_tokens(list(marks))
    library.post_processor = tokenizers.processors.TemplateProcessing(
        single="$A </s>", pair="$A </s> $B </s>", special_tokens=[("</s>", 2)]
    )
    library.save(str(folder / "tokenizer.json"))
    (folder / "tokenizer_config.json").write_text("{}", encoding="utf-8")


def sources_of(count: int) -> list[tuple[int, ...]]:
    """Texts of 10 to 40 tokens, the same each time."""
    random = np.random.default_rng(0)
    return [(*random.integers(4, VOCABULARY, random.integers(9, 40)).tolist(), 2) for _ in range(count)]


class Ours:
    """demotic's engine in this process."""

    def __init__(self, folder: Path, threads: int) -> None:
        card = ModelCard.read(ModelFile("model", folder, None, "path", None))
        plan = card.plan(probe(), EngineConfig(max_context=256))
        if plan.threads != threads:
            raise DemoticError(f"demotic would take {plan.threads} threads, and {threads} were asked for.")
        self._loaded: LoadedDecoder = load_decoder(folder, plan)

    def translate(self, sources: Sequence[tuple[int, ...]]) -> tuple[float, list[str]]:
        """Seconds, and the text of each best answer."""
        events: list[Event] = []
        engine = Engine(self._loaded.decoder, self._loaded.tokenizer, max_waiting=len(sources), emit=events.append)
        sampling, rules = SamplingParams(temperature=0.0), Rules(min_tokens=LENGTH)
        started = time.perf_counter()
        for at, source in enumerate(sources):
            engine.generate(Generate(str(at), source, sampling, max_tokens=LENGTH, rules=rules, beams=Beams(NUM_BEAMS)))
        while engine.has_work:
            engine.step()
        seconds = time.perf_counter() - started
        for event in events:
            if isinstance(event, Failed):
                raise event.error
        texts = {event.request_id: event.text for event in events if isinstance(event, Delta)}
        return seconds, [texts[str(at)] for at in range(len(sources))]

    def text_of(self, tokens: Sequence[int]) -> str:
        """The text of an answer of these tokens."""
        return b"".join(map(self._loaded.tokenizer.token_bytes, tokens)).decode()


class Theirs:
    """CTranslate2 in a process of its own."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self.version: str = self._answer()["version"]

    def translate(self, sources: Sequence[tuple[int, ...]]) -> tuple[float, list[list[int]]]:
        """Seconds, and the tokens of each best answer."""
        assert self._process.stdin is not None  # noqa: S101  # it is a pipe
        job = {"sources": sources, "num_beams": NUM_BEAMS, "length": LENGTH}
        self._process.stdin.write(f"{json.dumps(job)}\n")
        self._process.stdin.flush()
        answer = self._answer()
        return answer["seconds"], answer["tokens"]

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None  # noqa: S101  # as above
        line = self._process.stdout.readline()
        if not line:
            raise DemoticError("CTranslate2's process ended.")
        found: dict[str, Any] = json.loads(line)
        return found


@contextmanager
def theirs(python: Path, checkpoint: Path, folder: Path, threads: int) -> Iterator[Theirs]:
    """CTranslate2 over the checkpoint's weights."""
    ours = os.pathsep.join(path for path in sys.path if path.endswith("site-packages"))
    environment = {**os.environ, "PYTHONPATH": ours}
    subprocess.run([python, SIDE, "convert", checkpoint, folder], env=environment, check=True)
    environment.pop("PYTHONPATH")
    with subprocess.Popen(
        [python, SIDE, "translate", folder, str(threads)],
        env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        try:
            yield Theirs(process)
        finally:
            process.terminate()


def measure(ours: Ours, other: Theirs, count: int, alternations: int) -> dict[str, Any]:
    """Output tokens a second of both sides for `count` texts at once, in turns, after one turn to warm up."""
    sources, rates = sources_of(count), {"demotic": list[float](), "ctranslate2": list[float]()}
    num_alike = 0
    for turn in range(alternations + 1):
        seconds, texts = ours.translate(sources)
        their_seconds, tokens = other.translate(sources)
        if turn:
            rates["demotic"].append(count * LENGTH / seconds)
            rates["ctranslate2"].append(count * LENGTH / their_seconds)
        num_alike = sum(text == ours.text_of(each) for text, each in zip(texts, tokens, strict=True))
    ratio = statistics.median(one / two for one, two in zip(*rates.values(), strict=True))
    return {"texts": count, "tokens_per_second": rates, "ratio": ratio, "answers_alike": num_alike}


def main(arguments: Sequence[str] | None = None) -> int:
    """Compare, print, and write the results."""
    parser = argparse.ArgumentParser(description="Compare beam search of demotic and of CTranslate2.")
    parser.add_argument("--python", type=Path, required=True, help="of an environment that has ctranslate2")
    parser.add_argument("--threads", type=int, default=2, help="of each side")
    parser.add_argument("--alternations", type=int, default=5)
    parser.add_argument("--folder", type=Path, help="where the models are made, and kept for the next time")
    chosen = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as temporary:
        folder = chosen.folder or Path(temporary)
        checkpoint, graphs = folder / "m2m100", folder / "m2m100-onnx"
        if not graphs.is_dir():
            checkpoint.mkdir(parents=True, exist_ok=True)
            make_checkpoint(checkpoint)
            subprocess.run(
                [sys.executable, "-m", "demotic", "convert", checkpoint, "--to", "onnx", "-o", graphs], check=True
            )
        with theirs(chosen.python, checkpoint, Path(temporary) / "ctranslate2", chosen.threads) as other:
            ours = Ours(graphs, chosen.threads)
            found = [measure(ours, other, count, chosen.alternations) for count in BATCHES]
            version = other.version
    sizes = {
        "width": WIDTH, "layers": LAYERS, "heads": HEADS, "feed_forward": FEED_FORWARD, "vocabulary": VOCABULARY,
        "num_beams": NUM_BEAMS, "length": LENGTH,
    }  # fmt: skip
    result = {"sizes": sizes, "results": found, "wanted": WANTED, "ctranslate2": version, "machine": fingerprint()}
    RESULT.write_text(f"{json.dumps(result, indent=2, default=str)}\n", encoding="utf-8")
    rows = [
        [
            str(each["texts"]),
            *(f"{statistics.median(rates):.1f}" for rates in each["tokens_per_second"].values()),
            f"{each['ratio']:.2f}",
            f"{each['answers_alike']} of {each['texts']}",
        ]
        for each in found
    ]
    print(table(["texts at once", "demotic, tokens/s", "CTranslate2, tokens/s", "ratio", "answers alike"], rows))
    return 0


if __name__ == "__main__":
    leave_with(main)
