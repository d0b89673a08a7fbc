"""Keeping an answer in the scripts of a language."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runtime.config import LockConfig
from runtime.errors import InvalidRequest
from runtime.language.lock import Lock, LockMaker, LockMode, ScriptLock
from runtime.language.regions import Span
from runtime.language.scripts import foreign_characters, to_scripts
from runtime.text.vocabulary import Vocabulary

END = 0
BYTES = [bytes([byte]) for byte in range(256)]
CALL = Span("<tool_call>", "</tool_call>")


class PieceTokenizer:
    """A vocabulary of given pieces, after a token that ends the answer."""

    def __init__(self, pieces: Sequence[bytes]) -> None:
        self.pieces = [b"", *pieces]
        self.vocabulary_size = len(self.pieces)

    def encode(self, text: str, *, parse_special: bool, is_beginning: bool = True) -> list[int]:
        raise NotImplementedError

    def token_bytes(self, token: int) -> bytes:
        return self.pieces[token]

    def is_end(self, token: int) -> bool:
        return token == END

    def token_text(self, token: int) -> str:
        return self.pieces[token].decode(errors="replace")


def make(pieces: Sequence[bytes], scripts: str, *spans: Span, mode: LockMode = "hard") -> tuple[ScriptLock, Vocabulary]:
    vocabulary = Vocabulary(PieceTokenizer(pieces))
    return LockMaker(vocabulary).make(Lock(tuple(scripts.split()), mode, spans)), vocabulary


def allowed(lock: ScriptLock, vocabulary: Vocabulary, *, is_constrained: bool = False) -> list[bytes]:
    """The pieces that may come next."""
    row = np.zeros(len(vocabulary.pieces), np.float32)
    lock.restrict(row, is_constrained=is_constrained)
    return [vocabulary.pieces[token] for token in np.flatnonzero(row == 0)]


def say(lock: ScriptLock, vocabulary: Vocabulary, *pieces: bytes) -> None:
    for piece in pieces:
        lock.accept(vocabulary.pieces.index(piece), piece)


def write(lock: ScriptLock, vocabulary: Vocabulary, length: int, seed: int) -> bytes:
    """What a model that has no preferences writes under `lock`."""
    chance, text = np.random.default_rng(seed), b""
    for _ in range(length):
        row = np.zeros(len(vocabulary.pieces), np.float32)
        lock.restrict(row)
        token = int(chance.choice(np.flatnonzero(row == 0)))
        if token == END:
            break
        lock.accept(token, vocabulary.pieces[token])
        text += vocabulary.pieces[token]
    return text


def test_tokens_with_a_letter_of_another_script_are_impossible() -> None:
    words = [text.encode() for text in ("да", " не", "yes", "daда", "42", ", ", "№", "😀", "中", "x", "\n", "²", "е́")]
    lock, vocabulary = make(words, "Cyrl")
    assert allowed(lock, vocabulary) == [
        b"",
        *(one.encode() for one in ("да", " не", "42", ", ", "№", "😀", "\n", "²", "е́")),
    ]


def test_a_soft_lock_makes_them_unlikely_and_no_more() -> None:
    lock, _ = make([b"a", "я".encode()], "Cyrl", mode="soft")
    row = np.zeros(3, np.float32)
    lock.restrict(row)
    assert row.tolist() == [0, -LockConfig().soft_bias, 0]


@pytest.mark.parametrize("scripts", ["Cyrl", "Grek", "Deva", "Jpan", "Hang", "Geor", "Latn", "Adlm"])
@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**32))
def test_no_character_of_another_script_can_be_spelled_byte_by_byte(scripts: str, seed: int) -> None:
    text = write(*make(BYTES, scripts), length=120, seed=seed)
    # Strict: only the last character may be cut off, by the length.
    shown = text.decode("utf-8", "ignore")
    assert len(text) - len(shown.encode()) < 4
    assert text.startswith(shown.encode())
    assert foreign_characters(_without_code(shown), to_scripts([scripts])) == ""


@settings(max_examples=60, deadline=None)
@given(
    text=st.text(st.sampled_from("абвя éñ中日あアー한हि्नदी३0 1,.\n'`😀👩‍👩‍👧ｱ"), min_size=20, max_size=200),
    cuts=st.lists(st.integers(1, 6), min_size=1),
    scripts=st.sampled_from(["Cyrl", "Deva", "Hang", "Hani", "Jpan", "Latn"]),
    seed=st.integers(0, 2**32),
)
def test_tokens_that_begin_and_end_anywhere_in_characters_spell_none_of_another_script(
    text: str, cuts: list[int], scripts: str, seed: int
) -> None:
    data, pieces, at = text.encode(), set(BYTES), 0
    for cut in cuts * len(data):
        pieces.add(data[at : at + cut])
        at += cut
    pieces.discard(b"")
    written = write(*make(sorted(pieces), scripts), length=60, seed=seed).decode("utf-8", "ignore")
    assert foreign_characters(_without_code(written), to_scripts([scripts])) == ""


def _without_code(text: str) -> str:
    """`text` up to the first fence, after which anything may come."""
    return text.partition("```")[0].partition("~~~")[0]


def test_the_bytes_of_a_character_may_only_go_on_to_one_of_the_scripts() -> None:
    lock, vocabulary = make(BYTES, "Grek")
    leads = [piece[0] for piece in allowed(lock, vocabulary) if piece >= b"\x80"]
    assert 0xCE in leads  # Greek
    assert 0xD0 not in leads  # Cyrillic
    assert not any(0x80 <= lead < 0xC2 or lead > 0xF4 for lead in leads)
    say(lock, vocabulary, b"\xcd")
    # U+0370 is a Greek letter, and U+0378 no character.
    following = [piece[0] for piece in allowed(lock, vocabulary)]
    assert 0xB0 in following
    assert 0xB8 not in following
    assert all(0x80 <= byte < 0xC0 for byte in following)


def test_an_answer_cannot_end_within_a_character() -> None:
    lock, vocabulary = make(BYTES, "Cyrl")
    assert b"" in allowed(lock, vocabulary)
    say(lock, vocabulary, b"\xd0")
    assert b"" not in allowed(lock, vocabulary)


def test_a_vocabulary_that_cannot_complete_a_character_is_not_stuck_in_it() -> None:
    lock, vocabulary = make([b"\xd0", b"a", "я".encode()], "Cyrl")
    say(lock, vocabulary, b"\xd0")
    assert allowed(lock, vocabulary) == [b"", b"\xd0", "я".encode()]


def test_code_in_fences_is_free_and_what_follows_is_not() -> None:
    pieces = [b"```", b"py", b"\n", b"x", "я".encode()]
    lock, vocabulary = make(pieces, "Cyrl")
    assert b"x" not in allowed(lock, vocabulary)
    say(lock, vocabulary, b"```")
    assert b"py" in allowed(lock, vocabulary)
    say(lock, vocabulary, b"py", b"\n", b"x", b"\n")
    assert b"x" in allowed(lock, vocabulary)
    say(lock, vocabulary, b"```")
    assert b"x" not in allowed(lock, vocabulary)
    say(lock, vocabulary, b"\n")
    assert b"x" not in allowed(lock, vocabulary)


def test_reasoning_is_free_until_its_end_mark() -> None:
    pieces = [b"<think>", b"why", b"</think>", "я".encode()]
    lock, vocabulary = make(pieces, "Cyrl", Span("<think>", "</think>", is_first=True))
    assert allowed(lock, vocabulary) == [b"", b"<think>", "я".encode()]
    say(lock, vocabulary, b"<think>")
    assert b"why" in allowed(lock, vocabulary)
    say(lock, vocabulary, b"why", b"</think>")
    assert allowed(lock, vocabulary) == [b"", "я".encode()]


def test_a_mark_that_has_begun_with_foreign_letters_is_written_to_its_end() -> None:
    pieces = [b"<", b"<tool", b"_", b"_call", b">", b"x", b"{}", "я".encode()]
    lock, vocabulary = make(pieces, "Cyrl", CALL)
    say(lock, vocabulary, "я".encode())
    assert b"<tool" in allowed(lock, vocabulary)
    say(lock, vocabulary, b"<tool")
    assert allowed(lock, vocabulary) == [b"_", b"_call"]
    say(lock, vocabulary, b"_call", b">")
    assert b"x" in allowed(lock, vocabulary)


def test_a_grammar_decides_alone_where_it_leaves_no_free_text() -> None:
    pieces = [b"name", b"x", "я".encode(), *(b"%d" % number for number in range(40))]
    lock, vocabulary = make(pieces, "Cyrl")
    row = np.full(len(vocabulary.pieces), -np.inf, np.float32)
    row[1:3] = 0
    lock.restrict(row, is_constrained=True)
    assert np.flatnonzero(row == 0).tolist() == [1, 2]
    row = np.zeros(len(vocabulary.pieces), np.float32)
    lock.restrict(row, is_constrained=True)
    assert row[1] == row[2] == -np.inf
    assert row[3] == 0


def test_a_grammar_that_wants_a_foreign_text_gets_it() -> None:
    lock, _ = make([b"a", b"b", "я".encode()], "Cyrl")
    row = np.array([-np.inf, 0, 0, -np.inf], np.float32)
    lock.restrict(row, is_constrained=True)
    assert np.flatnonzero(row == 0).tolist() == [1, 2]


def test_tokens_are_counted_as_blocked_where_the_likeliest_was_foreign_and_did_not_come() -> None:
    lock, vocabulary = make([b"a", "я".encode()], "Cyrl")
    for _ in range(2):
        row = np.array([0, 5, 1], np.float32)
        lock.restrict(row)
        lock.accept(token := int(row.argmax()), vocabulary.pieces[token])
    row = np.array([0, 1, 5], np.float32)
    lock.restrict(row)
    lock.accept(token := int(row.argmax()), vocabulary.pieces[token])
    assert lock.num_blocked == 2
    assert vocabulary.pieces[int(row.argmax())].decode() == "я"


def test_a_soft_lock_that_gives_way_has_blocked_nothing() -> None:
    lock, _ = make([b"a", "я".encode()], "Cyrl", mode="soft")
    row = np.array([0, 50, 1], np.float32)
    lock.restrict(row)
    lock.accept(1, b"a")
    assert lock.num_blocked == 0


def test_masks_are_made_once_for_a_set_of_scripts_and_kept_for_the_latest_ones() -> None:
    maker = LockMaker(Vocabulary(PieceTokenizer(BYTES)))

    def masks(*scripts: str) -> object:
        return maker.make(Lock(scripts))._masks

    first = masks("Jpan")
    assert masks("Hani", "Kana", "Hira") is first
    for script in ("Cyrl", "Latn", "Grek", "Geor", "Hang", "Thai", "Arab", "Hebr"):
        assert masks(script) is not first
    assert masks("Jpan") is not first


def test_an_unknown_script_is_refused() -> None:
    with pytest.raises(InvalidRequest, match="There is no script 'Cyrk'"):
        make(BYTES, "Cyrk")
