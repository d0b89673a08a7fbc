"""Where each new row comes from, by each method, against cases made by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from converters.adapt.transplant.aligner import align, words_of
from converters.adapt.transplant.alignments import Alignment, count_tokens, read_alignments
from converters.adapt.transplant.mapping import Entry, plan_by_mapping
from converters.adapt.transplant.ofa import NEIGHBOURS, TEMPERATURE, plan_by_ofa, subword_vectors
from converters.adapt.transplant.overlap import plan_by_overlap
from converters.adapt.transplant.plan import Kind, Plan
from converters.adapt.transplant.rows import SEED, planted
from converters.adapt.transplant.trans_tokenization import add_numbers, plan_by_translation, smoothed, within
from converters.adapt.transplant.vectors import read_vectors
from converters.adapt.transplant.vocabulary import Vocabulary
from converters.progress import NoSteps
from converters.tensors import of_array
from tests.converters.adapt.transplant.toys import byte_level, unigram, vocabulary, wordpiece, write_vectors


def told(plan: Plan, old: Vocabulary, new: Vocabulary) -> dict[str, tuple[str, dict[str, float]]]:
    """By new token how its row is made, and of which old tokens."""
    return {
        str(name): (
            str(row.kind),
            {str(old.names[each]): round(float(w), 6) for each, w in zip(row.old, row.weights, strict=True)},
        )
        for name, row in zip(new.names, plan.rows, strict=True)
    }


def test_tokens_are_the_same_across_kinds_by_the_text_that_they_stand_for() -> None:
    old = vocabulary(unigram("▁дом", "дом", "▁Cat", "ed", "<0xC3>", "x"))
    for new in (
        vocabulary(byte_level("ĠÐ´Ð¾Ð¼", "Ð´Ð¾Ð¼", "Ġcat", "ed", "Ã", "Ġx")),
        vocabulary(wordpiece("дом", "##дом", "cat", "##ed", "x")),
    ):
        found = told(plan_by_overlap(old, new), old, new)
        names = dict(zip(new.forms, new.names, strict=True))
        assert found[str(names[" дом"])] == ("exact", {"▁дом": 1.0})
        assert found[str(names["дом"])] == ("exact", {"дом": 1.0})
        assert found[str(names[" cat"])] == ("case", {"▁Cat": 1.0})
        assert found[str(names["ed"])] == ("exact", {"ed": 1.0})
        assert found[str(names[" x"])] == ("drawn", {})
    assert told(plan_by_overlap(old, vocabulary(byte_level("Ã"))), old, vocabulary(byte_level("Ã")))["Ã"] == (
        "exact", {"<0xC3>": 1.0},
    )  # fmt: skip


def test_special_tokens_get_the_row_of_their_role_or_of_the_one_that_stands_for_it() -> None:
    old, new = vocabulary(unigram("a")), vocabulary(wordpiece("a"))
    found = told(plan_by_overlap(old, new), old, new)
    assert found["[CLS]"] == ("special", {"<s>": 1.0})
    assert found["[SEP]"] == ("special", {"</s>": 1.0})
    assert found["[UNK]"] == ("special", {"<unk>": 1.0})
    assert found["[PAD]"] == ("unknown", {"<unk>": 1.0})  # there is no padding, nor for a mask what stands for it
    assert found["[MASK]"] == ("unknown", {"<unk>": 1.0})
    back = told(plan_by_overlap(new, old), new, old)
    assert back["<s>"] == ("special", {"[CLS]": 1.0}) and back["</s>"] == ("special", {"[SEP]": 1.0})
    mask = vocabulary(wordpiece("a"))
    assert told(plan_by_overlap(vocabulary(unigram("a"), pad=2), mask), old, mask)["[MASK]"] == (
        "special", {"</s>": 1.0},
    )  # fmt: skip


def test_rows_are_copies_sums_and_draws_that_do_not_depend_on_each_other() -> None:
    old, new = vocabulary(unigram("▁a", "▁b")), vocabulary(unigram("▁b", "▁c", "▁d", "▁e"))
    special: list[Entry] = [(str(name), ()) for name in new.names[:3]]
    named: list[Entry] = [
        ("▁b", (("▁b", 0.3),)),
        ("▁c", (("▁a", 0.75), ("▁b", 0.25))),
        ("▁d", ()),
        ("▁e", (("▁a", 1.0),)),
    ]
    plan = plan_by_mapping([*special, *named], old, new)
    table = np.random.default_rng(0).normal(size=(5, 7)).astype(np.float32)
    found = planted(of_array(table), plan, 5).whole()
    assert np.array_equal(found[3], table[4]) and np.array_equal(found[6], table[3])
    assert found[4] == pytest.approx(0.75 * table[3] + 0.25 * table[4], abs=1e-6)
    assert np.array_equal(found[5], table[0])  # of the old unknown token
    drawn = plan_by_overlap(old, new)
    wanted = np.random.RandomState(SEED).normal(table.mean(0), table.std(0), (7, 7))
    found = planted(of_array(table), drawn, 5).whole()
    assert drawn.drawn == [4, 5, 6]
    assert found[4:] == pytest.approx(wanted[4:], abs=1e-5)
    assert planted(of_array(table), drawn, 5).read(5, 6)[0] == pytest.approx(wanted[5], abs=1e-5)


def test_ofa_finds_words_in_four_forms_and_mixes_the_nearest_tokens(tmp_path: Path) -> None:
    old = vocabulary(unigram("▁cat", "▁dog", "▁car", "cat", "▁Cat"))
    new = vocabulary(unigram("▁кот", "▁dog", "▁Кот", "котик", "▁zzz"))
    file = write_vectors(
        tmp_path / "v.txt", {"eng:cat": [1, 0], "eng:dog": [0, 1], "car": [-1, 0], "bul:$кот": [0.9, 0.1]}
    )
    words = read_vectors(file)
    assert words.words == ("cat", "dog", "car", "$кот")
    assert words.forms(0) == ("cat", " cat", " Cat")
    assert words.forms(3) == (" кот", "  кот", "Кот")
    vectors = subword_vectors(old, words, NoSteps())
    assert vectors[old.ids["▁cat"]].tolist() == [1, 0] and vectors[old.ids["▁Cat"]].tolist() == [1, 0]
    assert not vectors[old.ids["<s>"]].any()
    found = told(plan_by_ofa(old, new, words, NoSteps()), old, new)
    assert found["▁dog"] == ("exact", {"▁dog": 1.0})
    assert found["▁zzz"] == ("drawn", {}) and found["котик"] == ("drawn", {})
    kind, weights = found["▁кот"]
    cosines = vectors @ np.array([0.9, 0.1]) / np.hypot(0.9, 0.1)
    lengths = np.linalg.norm(vectors, axis=1)
    cosines = np.divide(cosines, lengths, out=np.zeros(len(old)), where=lengths > 0)
    powers = np.exp(cosines / TEMPERATURE)
    assert len(old) < NEIGHBOURS and kind == "mixed"
    assert weights == pytest.approx(
        {str(name): each for name, each in zip(old.names, powers / powers.sum(), strict=True)}, abs=1e-5
    )
    assert found["▁Кот"] == found["▁кот"]


def test_only_the_ten_nearest_tokens_are_mixed(tmp_path: Path) -> None:
    names = [f"▁w{chr(97 + at)}" for at in range(20)]
    old, new = vocabulary(unigram(*names)), vocabulary(unigram("▁new"))
    angles = {name[1:]: [float(np.cos(at / 10)), float(np.sin(at / 10))] for at, name in enumerate(names)}
    words = read_vectors(write_vectors(tmp_path / "v.txt", {**angles, "new": [1.0, 0.0]}))
    kind, weights = told(plan_by_ofa(old, new, words, NoSteps()), old, new)["▁new"]
    assert kind == "mixed" and set(weights) == set(names[:NEIGHBOURS])


def test_numbers_and_words_of_vectors_are_read_from_either_format(tmp_path: Path) -> None:
    rows = np.array([[1.5, 2], [3, 4]], np.float32)
    np.savez(tmp_path / "v.npz", words=np.array(["eng:a", "b"]), vectors=rows)
    (tmp_path / "v.txt").write_text("eng:a 1.5 2\nb 3 4\n", encoding="utf-8")
    for name in ("v.npz", "v.txt"):
        found = read_vectors(tmp_path / name)
        assert found.words == ("a", "b") and np.array_equal(found.vectors, rows)


def test_words_of_several_tokens_are_counted_all_to_all_and_by_their_place() -> None:
    old, new = vocabulary(unigram("▁a", "b", "▁c")), vocabulary(unigram("▁x", "y", "▁z"))
    pairs = [Alignment("▁c", "▁z", 40), Alignment("▁a—b", "▁x—y", 21), Alignment("▁a—b", "▁z", 20)]
    counts = count_tokens(iter(pairs), old, new, "here")
    named = {
        new.names[token]: {old.names[each]: count for each, count in found.items()} for token, found in counts.items()
    }
    # 21 // 2 = 10: 5 for each of the four pairs, and 10 for those at the same place; 20 // 2 = 10 likewise.
    assert named["▁x"] == {"▁a": 15, "b": 5} and named["y"] == {"▁a": 5, "b": 15}
    assert named["▁z"] == {"▁c": 40, "▁a": 10, "b": 10}


def test_words_of_parallel_text_are_aligned_by_where_they_stand_together(tmp_path: Path) -> None:
    old = vocabulary(unigram("▁the", "▁cat", "▁dog", "▁sees", "▁big", "."))
    new = vocabulary(unigram("▁кот", "ка", "▁пёс", "▁видит", "▁большой", "."))
    lines = {
        "the cat sees the dog.": "котка видит пёс.",
        "the dog sees the cat.": "пёс видит котка.",
        "the big cat.": "большой котка.",
        "the big dog sees.": "большой пёс видит.",
        "the dog.": "пёс.",
    }
    text = "".join(f"{one}{gap}{other}\n" * 20 for gap in ("\t", " ||| ") for one, other in lines.items())
    (tmp_path / "p.txt").write_text(text, encoding="utf-8")
    assert words_of("котка видит пёс.", new) == ["▁кот—ка", "▁видит", "▁пёс", "."]
    found = align(tmp_path / "p.txt", old, new, NoSteps())
    best = {word: max((each.count, each.old) for each in found if each.new == word) for word in {e.new for e in found}}
    assert {word: name for word, (_, name) in best.items()} == {
        "▁кот—ка": "▁cat", "▁пёс": "▁dog", "▁видит": "▁sees", "▁большой": "▁big", ".": ".",
    }  # fmt: skip
    # A new word is aligned as often as it occurs, but for what the empty word and rare pairs have of it.
    assert 100 < sum(each.count for each in found if each.new == "▁пёс") <= 160
    rows = told(plan_by_translation(iter(found), old, new, "here"), old, new)
    assert max(rows["▁видит"][1].items(), key=lambda item: item[1])[0] == "▁sees"
    assert max(rows["ка"][1].items(), key=lambda item: item[1])[0] == "▁cat"


def test_rare_pairs_and_those_of_nothing_are_skipped(tmp_path: Path) -> None:
    lines = ["▁a\t▁x\t-0.1\t10", "▁a\t▁y\t-3\t9.9", "<eps>\t▁x\t-1\t100", "▁a\t<eps>\t-1\t100", ""]
    (tmp_path / "t.tsv").write_text("\n".join(lines), encoding="utf-8")
    assert list(read_alignments(tmp_path / "t.tsv")) == [Alignment("▁a", "▁x", 10)]


def test_a_token_that_was_never_aligned_is_made_of_those_that_it_is_alike_to() -> None:
    assert within("abcdcd", dict.fromkeys(("ab", "abc", "cd", "b", "d"), 0)) == ["abc", "cd"]
    old, new = vocabulary(unigram("▁o", "p", "q")), vocabulary(unigram("ab", "abc", "c", "bx"))
    counts = {
        new.ids["abc"]: {old.ids["▁o"]: 1, old.ids["p"]: 3},
        new.ids["c"]: {old.ids["q"]: 7},
    }
    found = smoothed(counts, old, new)
    # "ab" is the beginning of "abc": a quarter of 2000 for what begins a word, three of 1000.
    assert found == {new.ids["ab"]: {old.ids["▁o"]: 500, old.ids["p"]: 750}}


def test_translations_numbers_and_shared_tokens_make_the_rows() -> None:
    old = vocabulary(unigram("▁cat", "▁tom", "▁7", "7", "▁ok"))
    new = vocabulary(unigram("▁кот", "▁7", "▁ok", "▁ж", special=("<unk>", "<s>", "</s>", "<mask>")))
    pairs = [Alignment("▁cat", "▁кот", 30), Alignment("▁tom", "▁кот", 10), Alignment("▁tom", "▁ok", 12)]
    plan = plan_by_translation(iter(pairs), old, new, "here")
    found = told(plan, old, new)
    assert found["▁кот"] == ("mixed", {"▁tom": 0.25, "▁cat": 0.75})
    assert list(found["▁кот"][1]) == ["▁tom", "▁cat"]  # the smallest weight first
    assert found["▁ok"] == ("mixed", {"▁ok": round(1 / 13, 6), "▁tom": round(12 / 13, 6)})
    assert found["▁7"] == ("single", {"▁7": 1.0})
    assert found["▁ж"] == ("unknown", {"<unk>": 1.0}) and found["<mask>"] == ("unknown", {"<unk>": 1.0})
    counts: dict[int, dict[int, int]] = {}
    add_numbers(counts, old, new)
    assert counts == {new.ids["▁7"]: {old.ids["▁7"]: 2}}  # after a space, and alone, where a space is put before


def test_a_plan_counts_its_rows_by_kind() -> None:
    old, new = vocabulary(unigram("▁a", "▁b")), vocabulary(unigram("▁A", "▁b", "▁q"))
    assert plan_by_overlap(old, new).counts() == {"special": 3, "exact": 1, "case": 1, "drawn": 1}
    assert [row.kind for row in plan_by_overlap(old, new).rows][3:] == [Kind.CASE, Kind.EXACT, Kind.DRAWN]
