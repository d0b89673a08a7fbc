"""Whatever is kept of a tokenizer.json, of each kind: text whose tokens are all kept is read as before."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import pytest
import tokenizers
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from converters.adapt.closure import Closure
from converters.adapt.required import required_tokens
from converters.adapt.selection import Limits, select
from converters.adapt.tokenizer_json import processor_ids, trimmed_json
from converters.adapt.vocabulary import vocabulary_in
from converters.adapt.wanted import Source
from runtime.backends.onnx.tokenizer_json import JsonTokenizer
from runtime.errors import ConversionRefused
from tests.converters.adapt.vocabularies import KINDS, LETTERS, text

SPECIAL = ("bg_BG", "<extra_id_0>", "<mask>")


def spm_json(draw: random.Random) -> dict[str, Any]:
    """SentencePiece's BPE as transformers writes it: merges by rank, and bytes for what no piece has."""
    words = ["▁", *(letter for letter in LETTERS if draw.random() < 0.9)]
    merges: list[list[str]] = []
    for _ in range(60):
        pair = [draw.choice(words), draw.choice(words)]
        if pair not in merges and len("".join(pair)) <= 8 and "▁" not in "".join(pair)[1:]:
            merges.append(pair)
            words.append("".join(pair))
    pieces = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256)), *dict.fromkeys(words)]
    model = {
        "type": "BPE", "unk_token": "<unk>", "byte_fallback": True, "fuse_unk": True, "merges": merges,
        "vocab": {piece: token for token, piece in enumerate(pieces)},
    }  # fmt: skip
    space = [{"type": "Prepend", "prepend": "▁"}, {"type": "Replace", "pattern": {"String": " "}, "content": "▁"}]
    empty = dict.fromkeys(("truncation", "padding", "pre_tokenizer", "post_processor", "decoder"))
    names = {"added_tokens": [_added(token, pieces[token]) for token in range(3)], "model": model}
    return {"version": "1.0", **empty, "normalizer": {"type": "Sequence", "normalizers": space}, **names}


def _added(token: int, content: str) -> dict[str, Any]:
    flags = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
    return {"id": token, "content": content, **flags}


def spec_of(kind: str, draw: random.Random) -> dict[str, Any]:
    """A tokenizer.json of a kind, with special tokens after all pieces."""
    spec = spm_json(draw) if kind == "spm" else KINDS[kind](draw).spec
    size = len(spec["model"]["vocab"])
    spec["added_tokens"] += [_added(size + at, name) for at, name in enumerate(SPECIAL)]
    return spec


@pytest.mark.parametrize("kind", ["spm", "bpe", "unigram", "wordpiece"])
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], derandomize=True)
@given(seed=st.integers(0, 2**32))
def test_text_of_kept_tokens_is_read_as_before_and_no_byte_is_unknown(kind: str, tmp_path: Path, seed: int) -> None:
    draw = random.Random(seed)  # noqa: S311
    spec = spec_of(kind, draw)
    before = tokenizers.Tokenizer.from_str(json.dumps(spec))
    size = before.get_vocab_size()
    texts = [text(draw) for _ in range(40)] + [f"{text(draw)} <mask> {text(draw)}"]
    ids = [before.encode(each).ids for each in texts]
    wanted = np.zeros(size)
    for tokens in ids[: draw.randint(0, 12)]:
        wanted[tokens] += 1
    wanted[draw.sample(range(size), draw.randint(0, 5))] += 1
    view = vocabulary_in(spec, size)
    path = tmp_path / "tokenizer.json"
    path.write_text(json.dumps(spec), encoding="utf-8")
    required = required_tokens(view, JsonTokenizer(path, num_rows=size, ends=()), (), processor_ids(spec))
    with patch("converters.adapt.selection.ROW_MULTIPLE", 1):  # no rows but those that are needed
        chosen = select([Source("x", "corpus", wanted)], required, Closure([view]), Limits(), lambda _: True, view)
    kept, rows = set(chosen.tokens.tolist()), chosen.tokens
    after = tokenizers.Tokenizer.from_str(json.dumps(trimmed_json(spec, chosen.new_ids)))
    assert after.get_vocab_size() == len(kept)
    assert [rows[after.token_to_id(name)] for name in SPECIAL] == [before.token_to_id(name) for name in SPECIAL]
    unknown = before.token_to_id("<unk>") if kind == "spm" else None
    for each, old in zip(texts, ids, strict=True):
        new = rows[np.array(after.encode(each).ids, np.int64)].tolist()
        if set(old) <= kept:
            assert new == old
        if kind in {"spm", "bpe"}:  # bytes stand for all characters
            assert unknown not in new
            assert _bytes(before, new) == _bytes(before, old)


def _bytes(tokenizer: tokenizers.Tokenizer, tokens: list[int]) -> bytes:
    """What tokens stand for, by a reading of the pieces that is not the library's."""
    pieces = [tokenizer.id_to_token(token) or "" for token in tokens]
    return b"".join(
        bytes.fromhex(piece[3:5]) if piece.startswith("<0x") and len(piece) == 6 else piece.encode() for piece in pieces
    )


@pytest.mark.parametrize("mark", ["continuing_subword_prefix", "end_of_word_suffix"])
def test_merges_that_change_marks_of_words_are_refused(mark: str) -> None:
    spec = spec_of("bpe", random.Random(1))  # noqa: S311
    spec["model"][mark] = "##"
    with pytest.raises(ConversionRefused, match="add or drop a mark of words"):
        vocabulary_in(spec, 400)
