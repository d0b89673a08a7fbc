"""What is told of a tokenizer, language by language."""

from __future__ import annotations

import pytest

from benchmarks.quality.tokens import is_whole, report_on


class Pieces:
    """A tokenizer whose tokens are the halves of Cyrillic letters, and else words; 0 stands before and after."""

    vocabulary_size = 300

    def encode(self, text: str, *, parse_special: bool, is_beginning: bool = True) -> list[int]:
        found = []
        for word in text.split():
            found += [1] if word.isascii() else list(word.encode())
        return [0, *found, 0]

    def token_bytes(self, token: int) -> bytes:
        return b"word" if token == 1 else bytes([token]) if token > 1 else b""

    def is_end(self, token: int) -> bool:
        return False

    def token_text(self, token: int) -> str:
        return str(token)


def test_tokens_are_counted_by_word_and_character_without_what_stands_around() -> None:
    found = report_on("bul_Cyrl", ["дa one", "two"], Pieces())
    assert (found.tokens, found.words, found.characters, found.num_bytes) == (5, 3, 9, 10)
    # Two halves of a letter are no characters, the Latin a is one.
    assert found.fallbacks == 2
    assert found.fallback_rate == pytest.approx(2 / 5)
    assert found.fertility == pytest.approx(5 / 3)
    assert found.characters_per_token == pytest.approx(9 / 5)


def test_where_words_are_not_told_apart_fertility_is_by_character() -> None:
    found = report_on("tha_Thai", ["สวัสดี"], Pieces())
    assert (found.words, found.characters, found.tokens) == (None, 4, 18)
    assert found.fertility == 4.5


@pytest.mark.parametrize(("piece", "is_one"), [(b"a", True), ("д".encode(), True), (b"\xd0", False), (b"", False)])
def test_a_part_of_a_character_and_what_the_vocabulary_lacks_are_no_characters(piece: bytes, is_one: bool) -> None:
    assert is_whole(piece) == is_one
