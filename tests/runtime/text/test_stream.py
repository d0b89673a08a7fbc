"""Text leaves the stream in whole characters, and nothing is lost or leaked."""

import pytest
import regex
from hypothesis import given
from hypothesis import strategies as st

from runtime.text.stream import TextStream, shortened

SAMPLES = [
    "The quick brown fox.",
    "Ένα κείμενο στα ελληνικά, с кириллицей и точкой.",
    "हिन्दी में क्षत्रिय और स्त्री",
    "தமிழ் எழுத்துகள் நி கூ",
    "ภาษาไทยน้ำใจ",
    "العربيّة بالتَّشكيل",
    "한국어와 옛한글 ᄒᆞᆫ글",
    "日本語と漢字、が゚も",
    "👩‍👩‍👧‍👦 🇧🇬🇲🇰 👍🏽 ❤️‍🔥",
    "e\u0301 a\u0328\u0301 line\r\nbreak\n",
    "",
]


def feed(data: bytes, sizes: list[int], stop: tuple[str, ...] = ()) -> list[str]:
    stream = TextStream(stop)
    pieces, at = [], 0
    for size in sizes:
        pieces.append(stream.push(data[at : at + size]))
        at += size
    return [piece for piece in (*pieces, stream.push(data[at:]), stream.finish()) if piece]


@pytest.mark.parametrize("text", SAMPLES)
def test_pieces_of_single_bytes_concatenate_to_the_text_and_split_no_grapheme(text: str) -> None:
    data = text.encode()
    pieces = feed(data, [1] * len(data))
    assert "".join(pieces) == text
    assert [cluster for piece in pieces for cluster in regex.findall(r"\X", piece)] == regex.findall(r"\X", text)


@given(st.text(max_size=40), st.lists(st.integers(1, 5), max_size=40))
def test_any_text_cut_anywhere_comes_out_whole(text: str, sizes: list[int]) -> None:
    pieces = feed(text.encode(), sizes)
    assert "".join(pieces) == text
    assert [cluster for piece in pieces for cluster in regex.findall(r"\X", piece)] == regex.findall(r"\X", text)


@given(st.binary(max_size=40), st.lists(st.integers(1, 3), max_size=40))
def test_bytes_that_are_not_utf8_become_replacement_characters(data: bytes, sizes: list[int]) -> None:
    assert "".join(feed(data, sizes)) == data.decode("utf-8", "replace")


def test_text_is_not_held_back_longer_than_one_cluster() -> None:
    stream = TextStream()
    assert stream.push(b"Hello") == "Hell"
    assert stream.push(b" ") == "o"
    assert stream.finish() == " "


def test_a_stop_string_is_cut_off_with_all_that_follows() -> None:
    stream = TextStream(["</s>"])
    assert "".join([stream.push(b"yes</"), stream.push(b"s> no"), stream.push(b"never"), stream.finish()]) == "yes"
    assert stream.stopped_by == "</s>"


def test_no_part_of_a_stop_string_leaks_before_it_is_complete() -> None:
    stream = TextStream(["\nUser:"])
    assert stream.push(b"Sure.\nUse") == "Sure."
    assert stream.push(b"r: hi") == ""


def test_a_beginning_of_a_stop_string_that_is_not_one_comes_out() -> None:
    stream = TextStream(["\nUser:"])
    assert stream.push(b"a\nUse") + stream.push(b"ful.") + stream.finish() == "a\nUseful."
    assert stream.stopped_by is None


@given(
    st.text(alphabet="abc", max_size=20),
    st.lists(st.text(alphabet="abc", min_size=1, max_size=3), max_size=3),
    st.lists(st.integers(1, 4), max_size=20),
)
def test_stopping_cuts_where_the_stop_string_that_is_complete_first_begins(
    text: str, stop: list[str], sizes: list[int]
) -> None:
    _, at = min(((found + len(one), found) for one in stop if (found := text.find(one)) >= 0), default=(0, len(text)))
    assert "".join(feed(text.encode(), sizes, tuple(stop))) == text[:at]


def test_a_stop_string_across_tokens_of_half_characters_is_found() -> None:
    data = "それは。終わり".encode()
    assert "".join(feed(data, [1] * len(data), ("。",))) == "それは"


@given(st.sampled_from(SAMPLES), st.integers(1, 40), st.lists(st.integers(1, 5), max_size=60))
def test_a_limit_in_characters_leaves_as_many_whole_graphemes_as_fit(sample: str, limit: int, sizes: list[int]) -> None:
    stream, data, at, text = TextStream(max_characters=limit), sample.encode(), 0, ""
    for size in [*sizes, len(data)]:
        text += stream.push(data[at : at + size])
        at += size
    text += stream.finish()
    expected, clusters = "", regex.findall(r"\X", sample)
    for cluster in clusters:
        if len(expected + cluster) > limit:
            break
        expected += cluster
    assert text == expected
    assert stream.is_full == (len(expected) == limit or expected != sample)


@given(st.sampled_from(SAMPLES), st.integers(1, 30))
def test_a_shortened_text_ends_with_a_whole_character_and_says_what_is_gone(text: str, limit: int) -> None:
    if len(text) <= limit:
        assert shortened(text, limit) == text
        return
    kept, mark = shortened(text, limit).rsplit("\n[... ", 1)
    assert len(kept) <= limit
    assert text.startswith(kept)
    assert "".join(regex.findall(r"\X", text)[: len(regex.findall(r"\X", kept))]) == kept
    assert mark == f"{len(text) - len(kept):,} characters left out]"
