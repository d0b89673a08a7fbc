"""Whatever is kept: a text whose tokens are all kept is read as before, by llama.cpp and by the runtime."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from unittest.mock import patch

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from converters.adapt.closure import Closure, merged
from converters.adapt.format_gguf import embedded_json
from converters.adapt.required import ids_in, required_tokens
from converters.adapt.rewrite import rewritten
from converters.adapt.selection import Limits, Selection, select
from converters.adapt.tokenizer_json import processor_ids
from converters.adapt.vocabulary import BYTE, Vocabulary, vocabulary_in, vocabulary_of
from converters.adapt.wanted import Source
from converters.gguf.vocabulary import open_vocabulary
from runtime.models.files import NoProgress
from runtime.models.gguf_copy import entries_of, write_copy
from runtime.models.gguf_format import parse
from runtime.models.inspect import read_header
from runtime.models.trimmed import VOCABULARY_TENSORS
from tests.converters.adapt.vocabularies import KINDS, Made, text, write

CASES = [(kind, False) for kind in KINDS] + [(kind, True) for kind in KINDS if kind != "spm"]


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    with TemporaryDirectory() as name:
        yield Path(name)


def trimmed(source: Path, target: Path, wanted: npt.NDArray[np.float64]) -> tuple[Vocabulary, Selection]:
    """Keep the tokens that `wanted` has shares of, and what must stay with them."""
    header = read_header(source)
    vocabulary, spec = vocabulary_of(header), embedded_json(header)
    views = [vocabulary, *([vocabulary_in(spec, len(vocabulary))] if spec else [])]
    closure = Closure(views)
    with open_vocabulary(source) as opened:
        more = {*ids_in(header.metadata, len(vocabulary)), *(processor_ids(spec) if spec else ())}
        required = set[int]().union(*(required_tokens(view, opened.read, (), more) for view in views))
    sources = [Source("x", "corpus", wanted)]
    with patch("converters.adapt.selection.ROW_MULTIPLE", 1):  # no rows but those that are needed
        selection = select(sources, required, closure, Limits(), lambda _: True, vocabulary)
    file = parse(source)
    entries = rewritten(entries_of(source, file), header, vocabulary, selection)
    rows = dict.fromkeys((name for name in VOCABULARY_TENSORS if name in file.tensors), selection.tokens)
    write_copy(target, source, file, entries, rows, NoProgress(), title="it")
    return vocabulary, selection


@pytest.mark.parametrize(("kind", "embeds"), CASES)
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], derandomize=True)
@given(seed=st.integers(0, 2**32))
def test_text_of_kept_tokens_is_read_as_before(kind: str, embeds: bool, folder: Path, seed: int) -> None:
    draw = random.Random(seed)  # noqa: S311
    source, target = folder / "a.gguf", folder / "b.gguf"
    made = KINDS[kind](draw)
    write(source, made, embeds=embeds)
    texts = [text(draw) for _ in range(40)]
    with open_vocabulary(source) as opened:
        before = [opened.own.encode(each, parse_special=False) for each in texts]
        before_read = [opened.read.encode(each, parse_special=False) for each in texts]
    # The tokens of some of the texts, and some others.
    wanted = np.zeros(len(made.pieces))
    for tokens in (*before[: draw.randint(0, 12)], *before_read[: draw.randint(0, 12)]):
        wanted[tokens] += 1
    wanted[draw.sample(range(len(made.pieces)), draw.randint(0, 5))] += 1
    vocabulary, selection = trimmed(source, target, wanted)
    kept = set(selection.tokens.tolist())
    with open_vocabulary(target) as opened:
        for each, old, old_read in zip(texts, before, before_read, strict=True):
            for tokenizer, ids in ((opened.own, old), (opened.read, old_read)):
                new = selection.tokens[np.array(tokenizer.encode(each, parse_special=False), np.int64)].tolist()
                if set(ids) <= kept:
                    assert new == ids
                if kind in {"spm", "bpe"}:  # never lost, never unknown
                    assert _bytes(vocabulary, new) == _bytes(vocabulary, ids)


def _bytes(vocabulary: Vocabulary, tokens: list[int]) -> bytes:
    """What tokens stand for, by a reading of the pieces that is not the library's."""
    parts = []
    for token in tokens:
        piece = vocabulary.pieces[token]
        parts.append(bytes.fromhex(piece[3:5]) if vocabulary.types[token] == BYTE else piece.encode())
    return b"".join(parts)


@pytest.mark.parametrize("kind", ["spm", "bpe"])
def test_without_the_closure_text_would_be_read_otherwise(kind: str, folder: Path) -> None:
    draw = random.Random(3)  # noqa: S311
    vocabulary = vocabulary_of(read_header(write(folder / "c.gguf", KINDS[kind](draw))))
    closure = Closure([vocabulary])
    needy = [token for token in range(len(vocabulary)) if len(closure.of(token)) > 3]
    assert needy
    for token in needy:
        assert closure.is_reachable(token)
        assert closure.of_all(closure.of(token)) == closure.of(token)


def test_what_an_unknown_character_costs_stays_what_it_was(folder: Path) -> None:
    """With the least likely piece gone, "xab<unk>dey" would be likelier than "xa", "bжd", "ey"."""
    scores = {"▁": -1.0, "xa": -9.0, "bжd": -9.0, "ey": -9.0, "xab": -1.0, "dey": -1.0, "ж": -26.0, "ы": -28.0}
    empty = KINDS["unigram"](random.Random(0))  # noqa: S311
    pieces = ["<pad>", "</s>", "<unk>", *scores]
    entries = {**empty.entries, "tokenizer.ggml.scores": [0.0] * 3 + list(scores.values())}
    made = Made(entries, {}, pieces, [3, 3, 2, *[1] * len(scores)])
    source, target = write(folder / "d.gguf", made), folder / "e.gguf"
    wanted = np.zeros(len(pieces))
    wanted[[pieces.index(piece) for piece in ("▁", "xa", "bжd", "ey", "xab", "dey")]] = 1
    _, selection = trimmed(source, target, wanted)
    assert pieces.index("ж") not in selection.tokens
    with open_vocabulary(target) as opened:
        read = selection.tokens[opened.own.encode("xabжdey", parse_special=False)]
    assert [pieces[token] for token in read] == ["▁", "xa", "bжd", "ey", "</s>"]


def test_merges_are_made_by_urgency_and_from_the_left() -> None:
    ranks = {("a", "a"): 1.0, ("aa", "a"): 2.0, ("b", "a"): 0.0}
    made, left = merged("aaaba", lambda x, y: ranks.get((x, y)))
    assert left == ["aaa", "ba"]
    assert made == {"a", "b", "aa", "aaa", "ba"}
