"""`demotic bench --languages`: passages, costs, the document and the picture."""

from __future__ import annotations

import csv
import io
import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from benchmarks.languages import measure as measuring
from benchmarks.languages.cost import costs_of
from benchmarks.languages.measure import LanguagePlan, measure
from benchmarks.languages.report import languages_report, to_document
from benchmarks.languages.work import Sizes, work_of
from benchmarks.parallel import ParallelText, declaration
from benchmarks.speed.asking import Sample, ask_together
from benchmarks.speed.noise import Noise
from benchmarks.speed.plan import Variant
from runtime.card import ModelCard
from runtime.commands.interrupt import Interrupt
from runtime.errors import InvalidRequest
from runtime.hardware.probe import probe
from runtime.model import Model
from runtime.models.store import Store
from tests.tiny.gguf import write_tiny_gguf
from tests.tiny.seq2seq import tiny_byt5, write_seq2seq

CHAT = "smollm2-135m-instruct"
TEXT = ParallelText("made up", {"eng_Latn": ("one two", "three", "four five six"), "tha_Thai": ("ก ข ค", "ง", "กำ")})


def count_words(text: str) -> int:
    """Words, and one that begins every text."""
    return 1 + len(text.split())


def test_lines_are_joined_alike_in_all_languages_as_far_as_the_longest_one_allows() -> None:
    work = work_of(TEXT, count_words, most_tokens=7)
    assert work.passages == {
        "eng_Latn": ("one two\nthree", "four five six"),
        "tha_Thai": ("ก ข ค\nง", "กำ"),
    }
    assert work.sizes["eng_Latn"] == Sizes(tokens=6, characters=26, graphemes=26, bytes=26)
    # SARA AM is a grapheme with its consonant, and each of the letters takes three bytes.
    assert work.sizes["tha_Thai"] == Sizes(tokens=5, characters=9, graphemes=8, bytes=3 * 6 + 3)
    whole = work_of(TEXT, count_words, most_tokens=100)
    assert whole.passages["eng_Latn"] == ("one two\nthree\nfour five six",)


def test_a_language_with_a_line_that_is_too_long_is_left_out_and_all_such_are_refused() -> None:
    text = ParallelText("made up", {"eng_Latn": ("a b c d e",), "deu_Latn": ("a b",)})
    work = work_of(text, count_words, most_tokens=4)
    assert list(work.passages) == ["deu_Latn"]
    assert work.left_out == {"eng_Latn": 6}
    with pytest.raises(InvalidRequest, match="takes 2 tokens at a time, and a line has 3 or more"):
        work_of(text, count_words, most_tokens=2)


def test_costs_are_those_of_the_same_meaning_beside_the_cheapest_language() -> None:
    sizes = {"eng_Latn": Sizes(10, 50, 50, 50), "tha_Thai": Sizes(30, 45, 36, 135), "deu_Latn": Sizes(20, 60, 60, 62)}
    reading = {"tha_Thai": [0.9, 0.6, 3.0], "eng_Latn": [0.3, 0.3, 0.3], "deu_Latn": []}
    english, thai = costs_of(sizes, reading, [10.0, 20.0, 5.0])
    assert (english.name, english.language, thai.language) == ("English", "eng_Latn", "tha_Thai")
    assert thai.characters_per_token == 1.5
    assert (thai.prompt.seconds.median, thai.prompt.seconds.low, thai.prompt.seconds.high) == (0.9, 0.6, 3.0)
    assert thai.prompt.characters_per_second == pytest.approx(50)
    assert thai.prompt.graphemes_per_second == pytest.approx(40)
    assert thai.prompt.bytes_per_second == pytest.approx(150)
    assert thai.prompt.times_best == pytest.approx(3.0)
    # 30 tokens of its own text, ten a second.
    assert thai.answer.seconds.median == pytest.approx(3.0)
    assert thai.answer.characters_per_second == pytest.approx(15)
    assert thai.answer.times_best == pytest.approx(3.0)
    assert (english.prompt.times_best, english.answer.times_best) == (1.0, 1.0)


def test_a_wish_to_stop_leaves_what_was_read_until_then(tmp_path: Path, _own_home: None) -> None:
    steps: list[None] = []
    text = declaration().of(["eng", "deu", "bul"])
    with Interrupt() as interrupt:

        def stop() -> None:
            steps.append(None)
            interrupt.is_set = len(steps) == 2  # an answer, and English

        variant = tiny(tmp_path)
        plan = LanguagePlan(repetitions=2, warm_up=0)
        found = measure(variant, probe(), text, plan, interrupt, Noise(), stop)
        report = languages_report([found], text, plan, probe(), [], is_interrupted=interrupt.is_set)
    assert [cost.language for cost in report.models[0].languages] == ["eng_Latn"]
    assert to_document(report, "md").startswith("Stopped by Ctrl-C")


def test_the_command_measures_the_users_text_in_a_model_and_draws_it(tmp_path: Path) -> None:
    (tmp_path / "text.tsv").write_text("en\tbg\nGood morning\tДобро утро\nGood night\tЛека нощ\n", encoding="utf-8")
    words = ["--parallel", str(tmp_path / "text.tsv"), "--repetitions", "2", "--format", "json"]
    files = ["--output", str(tmp_path / "out.json"), "--plot", str(tmp_path / "out.svg")]
    done = bench(CHAT, *words, *files)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    report = json.loads((tmp_path / "out.json").read_text(encoding="utf-8"))
    assert (report["benchmark"], report["text"], report["is_interrupted"]) == ("languages", "text.tsv", False)
    [model] = report["models"]
    english, bulgarian = model["languages"]
    assert (english["language"], bulgarian["language"]) == ("eng_Latn", "bul_Cyrl")
    assert (bulgarian["characters"], bulgarian["bytes"]) == (len("Добро утро\nЛека нощ"), 35)
    assert bulgarian["tokens"] > english["tokens"]
    assert bulgarian["answer"]["times_best"] == pytest.approx(bulgarian["tokens"] / english["tokens"], rel=1e-4)
    speed = model["generation_tokens_per_second"]["median"]
    assert english["answer"]["characters_per_second"] == pytest.approx(
        english["characters"] / english["tokens"] * speed, rel=0.05
    )
    drawn = (tmp_path / "out.svg").read_text(encoding="utf-8")
    assert "<!-- Bulgarian  bul_Cyrl -->" in drawn
    assert f"<!-- {bulgarian['answer']['times_best']:.2f} -->" in drawn


def test_a_language_that_the_text_lacks_and_lengths_that_languages_have_not_are_one_line() -> None:
    done = bench(CHAT, "--languages", "eng,que")
    assert (done.returncode, len(done.stderr.splitlines())) == (2, 1)
    assert "no text in que_Latn" in done.stderr
    done = bench(CHAT, "--languages", "eng", "--prompt-tokens", "64")
    assert done.returncode == 2
    assert "lengths of their own" in done.stderr


def test_no_text_is_kept_from_its_reading_before(
    tmp_path: Path, _own_home: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    variant = tiny(tmp_path)
    cached: list[tuple[int, int]] = []

    def ask(model: Model, prompts: Sequence[str], num_output: int, interrupt: Interrupt) -> Sample | None:
        sample = ask_together(model, prompts, num_output, interrupt)
        assert sample is not None
        cached.append((sample.answers[0].num_cached, sample.answers[0].num_prompt))
        return sample

    monkeypatch.setattr(measuring, "ask_together", ask)
    with Interrupt() as interrupt:
        measure(variant, probe(), declaration().of(["eng"]), LanguagePlan(repetitions=2), interrupt, Noise())
    assert len(cached) == 6
    assert max(kept for kept, _ in cached) <= 1  # at most the token that begins every text


def test_a_model_of_bytes_has_a_token_a_byte_and_csv_and_jsonl_have_a_row_a_language(
    tmp_path: Path, _own_home: None
) -> None:
    write_seq2seq(tmp_path / "byt5.gguf", tiny_byt5())
    variant = Variant(ModelCard.read(Store().resolve(str(tmp_path / "byt5.gguf"))))
    plan = LanguagePlan(repetitions=1)
    with Interrupt() as interrupt:
        found = measure(variant, probe(), TEXT, plan, interrupt, Noise())
    report = languages_report([found, found], TEXT, plan, probe(), ["It was noisy."], is_interrupted=False)
    rows = list(csv.DictReader(io.StringIO(to_document(report, "csv"))))
    assert [row["language"] for row in rows] == [cost.language for cost in report.models[0].languages] * 2
    assert all(row["tokens"] == row["bytes"] for row in rows)
    assert float(rows[0]["answer_times_best"]) == 1.0
    records = [json.loads(line) for line in to_document(report, "jsonl").splitlines()]
    assert [record["language"]["language"] for record in records] == [row["language"] for row in rows]
    assert "- Warning: It was noisy." in to_document(report, "md")


def tiny(folder: Path) -> Variant:
    write_tiny_gguf(folder / "tiny.gguf", context_length=2048)
    return Variant(ModelCard.read(Store().resolve(str(folder / "tiny.gguf"))))


def bench(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "demotic", "bench", *arguments]
    return subprocess.run(command, check=False, capture_output=True, text=True, stdin=subprocess.DEVNULL)
