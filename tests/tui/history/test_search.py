"""Search in any script: what is found, what is shown of it, and that no text is an operator."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest
import regex
from hypothesis import HealthCheck, assume, example, given, settings
from hypothesis import strategies as st

from tui.history import conversations, tree
from tui.history.folding import fold, fold_with_places
from tui.history.opening import open_history
from tui.history.records import Conversation, NewMessage
from tui.history.search import Hit, search, snippet_of, terms_of
from tui.history.store import Store

# Letters of many scripts, marks, and what SQLite or a terminal could take for more than a letter.
SIGNS = "aÄéſßIıİ ñn\u0303Жжёе\u0301Σσςアｱｶﾞガ가각한你好世ไทยกาที่हिन्दीமிநி123٣४\u0640\u0651م\u064fحى\u05b8ש\"'*()^:-%_[]\\\0\n\t👨\u200d👩\ufe0f"
TEXTS = st.one_of(st.text(alphabet=SIGNS, max_size=40), st.text(max_size=30))


@pytest.fixture(scope="module")
def shared() -> Iterator[Store]:
    """One file for many examples."""
    with tempfile.TemporaryDirectory() as folder, open_history(Path(folder) / "chats.sqlite3") as opened:
        yield opened


def remember(store: Store, *texts: str) -> Conversation:
    talk = conversations.create(store)
    conversations.rename(store, talk.id, "…")
    for text in texts:
        tree.add(store, talk.id, None, NewMessage("user", text))
    return talk


def found(store: Store, query: str) -> list[str]:
    return [hit.snippet for hit in search(store, query)]


@pytest.mark.parametrize(
    ("text", "query"),
    [
        ("Das Straßenfest war schön", "STRASSENFEST SCHON"),
        ("Ουρανός και θάλασσα", "ΟΥΡΑΝΟΣ"),
        ("Ουρανός και θάλασσα", "θαλασσα"),
        ("Прозорецът е отворен", "прозор"),
        ("Ещё раз", "еще"),
        ("Ispartalı kız", "ISPARTALI"),
        ("İstanbul'da", "istanbul"),
        ("我想学中文", "中文"),
        ("我想学中文", "学"),
        ("ฉันชอบกินข้าวผัด", "ข้าว"),
        ("ฉันชอบกินข้าวผัด", "ชอบ"),
        ("日本語のテキスト", "ﾃｷｽﾄ"),
        ("ガラス", "ｶﾞﾗｽ"),
        ("Ｆｕｌｌ ｗｉｄｔｈ", "full width"),
        ("مُحَمَّد رَسُول", "محمد"),
        ("كتـــاب جديد", "كتاب"),
        ("أكتب إلى علي", "اكتب الي"),
        ("این کتاب", "كتاب"),
        ("בְּרֵאשִׁית בָּרָא", "בראשית"),
        ("मैं हिन्दी बोलता हूँ", "हिन्दी"),
        ("நான் தமிழ் பேசுகிறேன்", "தமிழ்"),
        ("한국어를 배워요", "한국"),
        ("ქართული ენა", "ენა"),
        ("אני גר ב2024", "2024"),
        ("سنة ٢٠٢٤", "2024"),
        ("year 2024", "٢٠٢٤"),
        ("emoji 👨‍👩‍👧‍👦 family", "👨‍👩‍👧‍👦"),
        ("cafe\u0301 noir", "café"),
        ("café noir", "CAFE"),
        ("one\ntwo", "one two"),
    ],
)
def test_a_word_is_found_in_its_script(store: Store, text: str, query: str) -> None:
    remember(store, text, "something else", "нещо друго", "别的东西")
    (hit,) = search(store, query)
    assert hit.marks
    assert fold(hit.snippet) == fold(text)


@pytest.mark.parametrize(
    ("text", "query"), [("ガラス", "カラス"), ("ข้าว", "ข่าว"), ("कि", "की"), ("мир", "мар"), ("abc", "abd")]
)
def test_letters_that_differ_to_their_readers_differ(store: Store, text: str, query: str) -> None:
    remember(store, text)
    assert search(store, query) == []


def test_all_words_must_be_there_in_any_order(store: Store) -> None:
    remember(store, "red green blue", "green yellow")
    assert found(store, "blue green") == ["red green blue"]
    assert found(store, "yellow blue") == []
    assert found(store, "gr") == ["green yellow", "red green blue"]


@pytest.mark.parametrize(
    "query",
    [
        '"',
        '""',
        '"half',
        "*",
        "a*",
        "NEAR(a b)",
        "a AND b",
        "OR",
        "NOT",
        "folded:x",
        "-x",
        "^x",
        "(",
        "%",
        "_",
        "[a]",
        "x\0y",
        "'; DROP TABLE messages; --",
        "?",
        "\\",
        "{a b}:c",
    ],
)
def test_nothing_in_a_query_is_an_operator(store: Store, query: str) -> None:
    remember(store, "zzz", f"before {query} after")
    assert found(store, query) == [regex.sub(r"\p{Cc}", " ", f"before {query} after")]


@pytest.mark.parametrize("query", ["", "  \n", "\u0640", "\u200d", "\0"])
def test_a_query_without_letters_finds_nothing(store: Store, query: str) -> None:
    remember(store, "text")
    assert search(store, query) == []


def test_titles_are_found_too_and_come_first(store: Store) -> None:
    talk = remember(store, "nothing")
    conversations.rename(store, talk.id, "Планът за Витоша")
    other = remember(store, "на витоша")
    hits = search(store, "ВИТОША")
    assert [(hit.conversation, hit.message is None) for hit in hits] == [(talk.id, True), (other.id, False)]
    assert hits[0].snippet == "Планът за Витоша"


def test_the_latest_come_first_up_to_a_limit_and_deleted_ones_not_at_all(store: Store) -> None:
    talk = conversations.create(store)
    for year in (2003, 2001, 2002):
        tree.add(store, talk.id, None, NewMessage("assistant", f"word {year}", created=float(year)))
    assert found(store, "word") == ["word 2003", "word 2002", "word 2001"]
    assert [hit.snippet for hit in search(store, "word", limit=2)] == ["word 2003", "word 2002"]
    conversations.delete(store, talk.id)
    assert found(store, "word") == []
    conversations.restore(store, talk.id)
    assert len(found(store, "word")) == 3


def test_other_branches_are_found_and_can_be_gone_to(store: Store) -> None:
    talk = remember(store, "the first wording", "the second")
    (hit,) = search(store, "first")
    assert hit.message is not None
    tree.choose(store, hit.message)
    assert [entry.text for entry in tree.branch(store, talk.id)] == ["the first wording"]


def marked(hit: Hit) -> list[str]:
    return [hit.snippet[start:end] for start, end in hit.marks]


def test_a_snippet_shows_the_place_with_whole_characters_marked(store: Store) -> None:
    text = "преди " * 100 + "тук е مُحَمَّدٌ и 👨‍👩‍👧‍👦 край" + " след" * 100
    remember(store, text)
    (hit,) = search(store, "محمد 👩 КРАЙ")
    assert marked(hit) == ["مُحَمَّدٌ", "👨‍👩‍👧‍👦", "край"]
    assert hit.snippet.startswith("…")
    assert hit.snippet.endswith("…")
    assert len(regex.findall(r"\X", hit.snippet)) <= 130


def test_a_place_far_in_a_long_text_is_shown(store: Store) -> None:
    remember(store, "дълъг текст " * 2000 + "игла" + " сено" * 2000)
    (hit,) = search(store, "Игла")
    assert marked(hit) == ["игла"]


@settings(max_examples=300, deadline=None)
@given(TEXTS)
@example("\U0001e5f1 is a digit to regex before it is one to Python")
def test_folding_is_done_once_and_for_all_and_keeps_places(text: str) -> None:
    folded = fold(text)
    assert fold(folded) == folded
    places = fold_with_places(text)
    assert len(places.folded) == len(places.starts) == len(places.ends)
    borders = {match.start() for match in regex.finditer(r"\X", text)} | {len(text)}
    assert set(places.starts) | set(places.ends) <= borders
    assert places.starts == sorted(places.starts)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=TEXTS, data=st.data())
def test_any_part_of_any_text_is_found_in_it(shared: Store, text: str, data: st.DataObject) -> None:
    clusters = regex.findall(r"\X", text)
    assume(clusters)
    start = data.draw(st.integers(0, len(clusters) - 1))
    end = data.draw(st.integers(start + 1, len(clusters)))
    query = "".join(clusters[start:end])
    assume(terms_of(query))
    talk = remember(shared, text)
    assert talk.id in {hit.conversation for hit in search(shared, query, limit=100_000)}
    conversations.delete(shared, talk.id)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(texts=st.lists(TEXTS, max_size=4), query=TEXTS)
@example(texts=['say "x" and'], query='"x"')
def test_what_is_found_is_what_has_every_word(shared: Store, texts: list[str], query: str) -> None:
    talk = remember(shared, *texts)
    hits = [hit for hit in search(shared, query, limit=100_000) if hit.message is not None]
    terms = terms_of(query)
    expected = [
        entry.id for entry in tree.every(shared, talk.id) if terms and all(term in fold(entry.text) for term in terms)
    ]
    assert sorted(hit.message or 0 for hit in hits) == expected
    conversations.delete(shared, talk.id)


@settings(max_examples=200, deadline=None)
@given(text=TEXTS, before=st.integers(0, 60), data=st.data())
def test_marks_are_in_order_and_on_borders_of_characters(text: str, before: int, data: st.DataObject) -> None:
    whole = "ж" * before + text
    term = data.draw(st.sampled_from(terms_of(text) or ("ж",)))
    snippet, marks = snippet_of(whole, (term, "ж"))
    borders = {match.start() for match in regex.finditer(r"\X", snippet)} | {len(snippet)}
    assert all(start < end and {start, end} <= borders for start, end in marks)
    assert list(marks) == sorted(marks)
    assert all(before[1] <= after[0] for before, after in pairwise(marks))


def plan(store: Store, query: str) -> str:
    """How SQLite does what a search asks for."""
    asked: list[str] = []
    with store.reading() as connection:
        connection.set_trace_callback(asked.append)
    search(store, query)
    with store.reading() as connection:
        connection.set_trace_callback(None)
        (statement,) = (text for text in asked if "WITH latest" in text and not text.startswith("--"))
        return "\n".join(row["detail"] for row in connection.execute(f"EXPLAIN QUERY PLAN {statement}"))


def test_words_are_looked_up_in_the_index_and_no_table_of_messages_is_read_through(store: Store) -> None:
    remember(store, "прозорец", "你好")
    long, short = plan(store, "прозорец"), plan(store, "你好")
    assert "message_index VIRTUAL TABLE INDEX 0:M" in long
    assert "message_index VIRTUAL TABLE INDEX 0:" in short
    for each in (long, short):
        assert "SEARCH messages USING INTEGER PRIMARY KEY" in each
        assert "SCAN messages" not in each.replace("SCAN message_index", "")


def test_many_messages_are_searched_without_folding_them_again(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    talk = conversations.create(store)
    with store.writing() as connection:
        for number in range(2000):
            tree.insert(connection, talk.id, None, NewMessage("user", f"съобщение {number}", created=time.time()))
    folded: list[str] = []

    def counted(text: str, **more: int) -> object:
        folded.append(text)
        return fold_with_places(text, **more)

    monkeypatch.setattr("tui.history.search.fold_with_places", counted)
    assert len(search(store, "съобщение", limit=20)) == 20
    assert len(folded) == 20
