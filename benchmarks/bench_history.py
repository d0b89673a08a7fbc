"""What the chat remembers: opening and searching 10,000 messages, and writing an answer down piece by piece.

`scripts/bench -k history` runs this and prints the result. Half of the messages are questions of about 60 letters, half
answers of about 800, made of random words in ten scripts: in 500 conversations, and then in a single one.
"""

from __future__ import annotations

import json
import random
import sqlite3
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from benchmarks.machine import fingerprint
from runtime.chat.reasoning import Piece
from tui.history import conversations, tree
from tui.history.answers import AnswerWriter
from tui.history.drafts import Draft, save_draft
from tui.history.opening import open_history
from tui.history.records import NewMessage
from tui.history.search import search
from tui.history.store import Store

NUM_MESSAGES = 10_000
WANTED_MS = 200.0
NUM_REPEATS = 15
NUM_PIECES = 2000
PIECES_PER_SECOND = 200
RESULTS = Path(__file__).parent / "results"
# Letters of a script, and how many of them a word has; Chinese and Thai words follow each other without a blank.
SCRIPTS: dict[str, tuple[str, tuple[int, int], str]] = {
    "Latn": ("abcdefghijklmnoprstuvzéüñ", (2, 10), " "),
    "Cyrl": ("абвгдежзийклмнопрстуфхцчшщъюя", (2, 10), " "),
    "Grek": ("αβγδεζηθικλμνξοπρστυφχψωάέήίό", (2, 10), " "),
    "Arab": ("ابتثجحخدذرزسشصضطظعغفقكلمنهوي", (2, 8), " "),
    "Hebr": ("אבגדהוזחטיכלמנסעפצקרשת", (2, 8), " "),
    "Deva": ("कखगघचछजझटठडढतथदधनपफबभमयरलवशसह", (2, 7), " "),
    "Hang": ("가나다라마바사아자차카타파하각난달말", (1, 4), " "),
    "Hani": ("的一是不了人我在有他这中大来上国个到说们为子和你地出道也时年", (1, 3), ""),
    "Thai": ("กขคงจชซญดตถทนบปผพภมยรลวสหอ", (2, 6), ""),
    "Geor": ("აბგდევზთიკლმნოპჟრსტუფქღყშჩცძწჭხჯჰ", (2, 10), " "),
}


@pytest.mark.timeout(600)
def test_what_the_chat_remembers(
    benchmark: BenchmarkFixture, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Opening and search at most 200 ms, as medians."""
    result: dict[str, Any] = benchmark.pedantic(measure, args=(tmp_path,))  # type: ignore[no-untyped-call]  # pytest-benchmark's
    (RESULTS / "history.json").write_text(json.dumps(result, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")
    with capsys.disabled():
        print("\n" + json.dumps(result, ensure_ascii=False, indent=2))
    slow = {
        f"{shape} {name}": times
        for shape in ("in_500_conversations", "in_one_conversation")
        for name, times in result[shape]["ms"].items()
        if times["median"] > WANTED_MS
    }
    if slow:
        raise AssertionError(f"slower than {WANTED_MS} ms: {slow}")


def measure(folder: Path) -> dict[str, Any]:
    """Both shapes, and the writing of an answer into the larger file."""
    many, single = folder / "many.sqlite3", folder / "single.sqlite3"
    return {
        "messages": NUM_MESSAGES,
        "wanted_median_ms_at_most": WANTED_MS,
        "in_500_conversations": _measure_shape(many, num_conversations=500),
        "in_one_conversation": _measure_shape(single, num_conversations=1),
        "pieces": _measure_pieces(many),
        "sqlite": sqlite3.sqlite_version,
        "machine": fingerprint(),
    }


def _measure_shape(path: Path, *, num_conversations: int) -> dict[str, Any]:
    words = _fill(path, num_conversations)
    with open_history(path) as store:
        latest = conversations.listed(store)[0].id

        def open_latest(most: int | None) -> None:
            with open_history(path) as opened:
                conversations.listed(opened)
                tree.branch(opened, latest, most=most)

        times = {
            "open, list all, read the last 200 messages of the latest": _times(lambda: open_latest(200)),
            "open, list all, read the latest from its beginning": _times(lambda: open_latest(None)),
        }
        for name, query in words.items():
            times[f"search {name}"] = _times(lambda query=query: search(store, query))  # type: ignore[misc]  # used at once
        times["search what is nowhere"] = _times(lambda: search(store, "xqjzwvkk"))
        times["search two letters that are nowhere"] = _times(lambda: search(store, "xq"))
    return {"file_megabytes": round(path.stat().st_size / 1e6, 1), "ms": times}


def _fill(path: Path, num_conversations: int) -> dict[str, str]:
    """Write messages; return words to look for: of each script a long one, and short ones of some."""
    made = random.Random(0)  # noqa: S311  # not for secrets
    vocabularies = {name: [_word(made, *how[:2]) for _ in range(3000)] for name, how in SCRIPTS.items()}
    with open_history(path) as store:
        for number in range(num_conversations):
            script = list(SCRIPTS)[number % len(SCRIPTS)]
            talk = conversations.create(store)
            with store.writing() as connection:
                parent = None
                for at in range(NUM_MESSAGES // num_conversations):
                    if num_conversations == 1:
                        script = list(SCRIPTS)[at % len(SCRIPTS)]
                    blank = SCRIPTS[script][2]
                    text = blank.join(made.choices(vocabularies[script], k=10 if at % 2 == 0 else 140))
                    message = NewMessage("user" if at % 2 == 0 else "assistant", text, created=1.7e9 + number + at)
                    parent = tree.insert(connection, talk.id, parent, message)
                    if at == 0:
                        tree.entitle(connection, talk.id, text, 60)
                connection.execute(
                    "UPDATE messages SET chosen = (SELECT MAX(id) FROM messages AS child WHERE parent = messages.id) "
                    "WHERE conversation = ?",
                    (talk.id,),
                )
                tree.choose_in(connection, parent or 0)
    long = {f"a word in {name}": max(vocabularies[name][:200], key=len) for name in SCRIPTS}
    return long | {
        "two letters in Hani": "中国",
        "one letter in Hani": "我",
        "two letters in Thai": "กา",
        "one letter in Latn": "e",
        "two words": " ".join(vocabularies["Cyrl"][:2]),
    }


def _word(made: random.Random, letters: str, lengths: tuple[int, int]) -> str:
    return "".join(made.choices(letters, k=made.randint(*lengths)))


def _times(work: Callable[[], object]) -> dict[str, float]:
    """Milliseconds of the first time, which fills caches, and of those after it."""
    times = []
    for _ in range(NUM_REPEATS + 1):
        started = time.perf_counter()
        work()
        times.append((time.perf_counter() - started) * 1e3)
    first, *after = times
    return {
        "first": round(first, 2),
        "median": round(statistics.median(after), 2),
        "longest": round(max(after), 2),
    }


def _measure_pieces(path: Path) -> dict[str, float]:
    """Microseconds for each piece of an answer of 2,000 pieces, and for each key of a draft of 2,000 letters."""
    with open_history(path) as store:
        talk = conversations.create(store)
        writer = AnswerWriter(store, tree.add(store, talk.id, None, NewMessage("user", "?")))
        pieces = sorted(_seconds(lambda: writer.take(Piece("content", "дума "))) for _ in range(NUM_PIECES))
        end = _seconds(lambda: writer.finish("complete"))
        drafts = sorted(_draft(store, talk.id, "д" * length) for length in range(1, NUM_PIECES))
    median = statistics.median(pieces)
    return {
        "median_us": round(median * 1e6, 1),
        "p99_us": round(pieces[len(pieces) * 99 // 100] * 1e6, 1),
        "longest_us": round(pieces[-1] * 1e6, 1),
        f"share_of_a_second_at_{PIECES_PER_SECOND}_pieces": round(sum(pieces) / len(pieces) * PIECES_PER_SECOND, 4),
        "end_of_the_answer_ms": round(end * 1e3, 2),
        "draft_median_us": round(statistics.median(drafts) * 1e6, 1),
        "draft_longest_us": round(drafts[-1] * 1e6, 1),
    }


def _draft(store: Store, number: int, text: str) -> float:
    return _seconds(lambda: save_draft(store, number, Draft(text)))


def _seconds(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started
