"""What a language wants where there is no corpus, and how a corpus is counted and held out."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from converters.adapt.closure import Closure
from converters.adapt.selection import Limits, select
from converters.adapt.texts import read_corpora
from converters.adapt.vocabulary import vocabulary_of
from converters.adapt.wanted import Reader, Source, gather
from converters.adapt.words import letters_of, words_of
from converters.gguf.vocabulary import open_vocabulary
from converters.progress import NoSteps
from runtime.models.inspect import read_header


def test_words_come_with_how_often_they_occur_and_in_their_forms() -> None:
    lines = [(text.split("\n"), weight) for text, weight in words_of("deu_Latn")]
    weights = {word: weight for words, weight in lines for word in words}
    assert weights[" und"] > weights[" haus"] > 0
    assert weights[" haus"] > weights[" Haus"] > weights["Haus"] > 0
    assert sum(len(words) for words, _ in lines) > 50_000


@pytest.mark.parametrize(("language", "is_known"), [("bul_Cyrl", True), ("srp_Latn", True), ("zho_Hant", True),
                                                    ("srp_Cyrl", False), ("tha_Thai", False), ("iku_Cans", False)])  # fmt: skip
def test_a_language_has_words_in_the_script_that_they_are_written_in(language: str, is_known: bool) -> None:
    assert any(True for _ in words_of(language)) == is_known


def test_letters_are_small_and_capital() -> None:
    assert {"ъ", "Ъ", "я"} <= letters_of("bul_Cyrl")
    assert "ы" not in letters_of("bul_Cyrl")
    assert {"ก", "ุ"} <= letters_of("tha_Thai")
    assert not letters_of("iku_Cans")


def test_gemma_knows_thai_by_its_letters_and_bulgarian_by_its_words(gemma_path: Path) -> None:
    vocabulary = vocabulary_of(read_header(gemma_path))
    closure = Closure([vocabulary])
    with open_vocabulary(gemma_path) as opened:
        reader = Reader(vocabulary, closure, opened.read)
        thai, bulgarian = gather([], ["tha_Thai", "bul_Cyrl"], (), reader, NoSteps())
        assert (thai.origin, bulgarian.origin) == ("letters", "words")
        assert thai.missing_share is None
        wanted = [opened.read.encode(text, parse_special=False)[1:] for text in ("สวัสดี", "столицата на България")]
    assert all(thai.shares[token] > 0 for token in wanted[0])
    assert all(bulgarian.shares[token] > 0 or token in bulgarian.also for token in wanted[1])
    assert bulgarian.shares[vocabulary.ids["▁на"]] > bulgarian.shares[vocabulary.ids["▁вода"]] > 0
    chosen = select([bulgarian], [], closure, Limits(), lambda _: True, vocabulary)
    assert 5_000 < len(chosen.tokens) < 20_000
    assert len(chosen.tokens) % 32 == 0


def test_one_distinct_line_in_ten_is_held_out_with_its_repetitions(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    lines = [f"line {number % 500}" for number in range(1500)]
    path.write_text("\ufeff" + "\n".join(lines), encoding="utf-8")
    [corpus] = read_corpora([str(path)])
    counted = {line for chunk in corpus.counted for line in chunk.split("\n")}
    assert corpus.name == "a.txt"
    assert corpus.language is None
    assert not counted & set(corpus.held_out)
    assert counted | set(corpus.held_out) == set(lines)
    assert 25 < len(corpus.held_out) < 85
    assert len(set(corpus.held_out)) == len(corpus.held_out)


def test_coverage_is_of_each_source_and_good_turing_counts_what_was_seen_once() -> None:
    common = np.array([0.6, 0.3, 0.09, 0.01])
    rare = np.array([0.0, 0.0, 0.2, 0.8])
    one = Source("a", "corpus", common, num_tokens=200, singletons=3)
    assert one.missing_share == 3 / 200
    chosen = {
        (coverage, both): _chosen([one, *([Source("b", "corpus", rare)] if both else [])], coverage)
        for coverage in (0.85, 0.95)
        for both in (False, True)
    }
    assert chosen[0.85, False] == [0, 1]
    assert chosen[0.95, False] == [0, 1, 2]
    assert chosen[0.85, True] == [0, 1, 2, 3]


def _chosen(sources: list[Source], coverage: float) -> list[int]:
    from converters.adapt.selection import _by_urgency

    return sorted(_by_urgency(sources, Limits(coverage=coverage)))
