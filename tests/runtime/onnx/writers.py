"""Encoder-decoders as ONNX graphs, with the engine in the test's own thread, and transformers beside it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
import transformers

from runtime.backends.load import LoadedDecoder, load_decoder
from runtime.card import ModelCard
from runtime.config import EngineConfig
from runtime.engine.engine import Engine
from runtime.engine.messages import Delta, Event, Failed, Finished, Generate
from runtime.hardware.probe import probe
from runtime.models.store import ModelFile
from tests.converters.onnx.sources import Sources

TRANSLATORS = ["t5", "mt5", "byt5", "mbart50", "m2m100", "marian"]
# Three sources of different lengths, the end token last; ids that all of the tiny vocabularies have.
TEXTS = [(9, 12, 40, 33, 7, 21, 1), (8, 30, 11, 1), (50, 6, 70, 8, 90, 10, 11, 12, 13, 1)]


@dataclass
class Writer:
    """One exported model: its card, its engine, and the checkpoint that it was made from."""

    name: str
    path: Path
    checkpoint: Path
    events: list[Event] = field(default_factory=list)

    @cached_property
    def card(self) -> ModelCard:
        return ModelCard.read(ModelFile(self.name, self.path, None, "path", None))

    @cached_property
    def loaded(self) -> LoadedDecoder:
        return load_decoder(self.path, self.card.plan(probe(), EngineConfig()))

    @cached_property
    def engine(self) -> Engine:
        return Engine(self.loaded.decoder, self.loaded.tokenizer, max_waiting=64, emit=self.events.append)

    @cached_property
    def reference(self) -> Any:
        model = transformers.AutoModelForSeq2SeqLM.from_pretrained(self.checkpoint)
        return model.eval()

    @property
    def ends(self) -> tuple[int, ...]:
        rows = self.loaded.decoder.rows
        assert rows is not None
        return rows.ends

    def run(self, requests: Sequence[Generate]) -> dict[str, list[Event]]:
        """The events of requests that arrive together, until nothing is left to do."""
        self.events.clear()
        for request in requests:
            self.engine.generate(request)
        while self.engine.has_work:
            self.engine.step()
        return {each.request_id: self.of(each.request_id) for each in requests}

    def of(self, request_id: str) -> list[Event]:
        found = [event for event in self.events if event.request_id == request_id]
        assert [isinstance(event, Finished | Failed) for event in found] == [False] * (len(found) - 1) + [True]
        return found

    def generate(self, sources: Sequence[Sequence[int]], **options: Any) -> list[list[tuple[list[int], float]]]:
        """What transformers answers to each source: tokens up to the end, and the score, which greedy has none of."""
        ids, mask = padded(sources, self.card.header.settings.tokens.pad or 0)  # type: ignore[union-attr]
        # Without a cache: transformers makes one of as many layers as the encoder has.
        out = self.reference.generate(
            input_ids=ids, attention_mask=mask, use_cache=False, do_sample=False, output_scores=True,
            return_dict_in_generate=True, **options,
        )  # fmt: skip
        num_given = options["decoder_input_ids"].shape[1] if "decoder_input_ids" in options else 1
        ends = options.get("eos_token_id", list(self.ends))
        scores = out.sequences_scores.tolist() if "sequences_scores" in out else [0.0] * len(out.sequences)
        found = [
            (until_end(row[num_given:], ends), score) for row, score in zip(out.sequences.tolist(), scores, strict=True)
        ]
        each = len(found) // len(sources)
        return [found[at : at + each] for at in range(0, len(found), each)]

    def text_of(self, tokens: Sequence[int]) -> str:
        """The text that an answer of these tokens has."""
        data = b"".join(map(self.loaded.tokenizer.token_bytes, tokens))
        first, *_ = self.loaded.tokenizer.encode("a", parse_special=False, is_beginning=False)
        if self.loaded.tokenizer.token_bytes(first).startswith(b" "):
            data = data.removeprefix(b" ")
        return data.decode("utf-8", "replace")


def until_end(tokens: Sequence[int], ends: Sequence[int]) -> list[int]:
    """The tokens before the first that ends an answer."""
    return list(tokens[: next((at for at, token in enumerate(tokens) if token in ends), len(tokens))])


def padded(rows: Sequence[Sequence[int]], pad: int) -> tuple[Any, Any]:
    width = max(map(len, rows))
    ids = torch.tensor([[*row, *[pad] * (width - len(row))] for row in rows])
    mask = torch.tensor([[1] * len(row) + [0] * (width - len(row)) for row in rows])
    return ids, mask


def texts_of(events: Sequence[Event]) -> list[str]:
    """The texts of a request's answers; pieces of one that was not searched for are joined."""
    deltas = [event for event in events if isinstance(event, Delta)]
    if all(delta.found is None for delta in deltas):
        return ["".join(delta.text for delta in deltas)]
    return [delta.text for delta in deltas]


def make_writer(sources: Sources, name: str) -> Writer:
    return Writer(name, sources.exported(name).path, sources.checkpoint(name))
