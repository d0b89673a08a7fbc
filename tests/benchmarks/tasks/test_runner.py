"""What all tasks share: rows with their lines, answers that are kept, and runs that go on where they stopped."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from benchmarks.tasks.rows import Source
from runtime.errors import InvalidRequest
from tests.benchmarks.tasks.endpoint import completions, evaluated, jsonl, report, scripted

ROWS = [{"question": f"Capital {number}?", "targets": [f"city {number}"]} for number in range(6)]


def right(path: str, body: dict[str, Any]) -> dict[str, Any]:
    """Every capital is a city with its number."""
    return completions(f" City {body['prompt'].split()[2].rstrip('?')}.")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return jsonl(tmp_path / "nld_Latn.jsonl", *ROWS)


def test_answers_are_kept_and_only_what_is_missing_is_asked(file: Path) -> None:
    with scripted(lambda path, body: None if "3?" in body["prompt"] else right(path, body)) as endpoint:
        told = report("answers", file, "--url", endpoint.url)
        assert told["languages"]["nld_Latn"] | {"exact match": 100} == told["languages"]["nld_Latn"]
        assert (told["languages"]["nld_Latn"]["asked"], told["languages"]["nld_Latn"]["failed"]) == (6, 1)
        assert told["errors"] == {"HTTP 500: It went wrong.": 1}
        assert len(endpoint.asked) == 6
        endpoint.answer = right
        again = report("answers", file, "--url", endpoint.url)
        assert [body["prompt"] for _, body in endpoint.asked[6:]] == ["Q: Capital 3?\nA:"]
        assert again["languages"]["nld_Latn"]["failed"] == 0
    assert file.with_name("nld_Latn.answers.scripted.results.jsonl").is_file()


def test_results_of_another_model_file_or_setting_are_refused_by_name(file: Path, tmp_path: Path) -> None:
    results = tmp_path / "results.jsonl"
    with scripted(right) as endpoint:
        common = (file, "--url", endpoint.url, "--results", results)
        report("answers", *common)
        settings = evaluated("answers", *common, "--max-tokens", 8)
        assert settings.exit_code != 0
        assert "settings" in str(settings.exception) and '"max_tokens": 8' in str(settings.exception)
        endpoint.model = "another"
        assert 'model "scripted", and not "another"' in str(evaluated("answers", *common).exception)
        endpoint.model = "scripted"
        jsonl(file, *ROWS[:5])
        assert "files" in str(evaluated("answers", *common).exception)
        assert len(endpoint.asked) == 6
        assert report("answers", *common, "--force")["languages"]["nld_Latn"]["asked"] == 5
    notes = jsonl(tmp_path / "notes.jsonl", {"mine": 1})
    with scripted(right) as endpoint:
        refused = evaluated("answers", file, "--url", endpoint.url, "--results", notes, "--force")
    assert "does not hold results" in str(refused.exception)
    assert json.loads(notes.read_text(encoding="utf-8")) == {"mine": 1}


def test_a_line_that_was_cut_off_is_asked_again(file: Path, tmp_path: Path) -> None:
    results = tmp_path / "results.jsonl"
    with scripted(right) as endpoint:
        common = ("answers", file, "--url", endpoint.url, "--results", results)
        report(*common)
        results.write_text(results.read_text(encoding="utf-8")[:-20], encoding="utf-8")
        assert report(*common)["languages"]["nld_Latn"]["exact match"] == 100
        assert len(endpoint.asked) == 7
    assert all(json.loads(line) for line in results.read_text(encoding="utf-8").splitlines())


def test_ctrl_c_keeps_what_is_done_and_the_next_run_goes_on(file: Path, tmp_path: Path) -> None:
    def slow(path: str, body: dict[str, Any]) -> dict[str, Any]:
        if int(body["prompt"].split()[2].rstrip("?")) >= 2:
            time.sleep(1.5)
        return right(path, body)

    with scripted(slow) as endpoint:
        arguments = ["eval", "answers", str(file), "--url", endpoint.url, "--clients", "1", "--json"]
        process = subprocess.Popen(
            [sys.executable, "-m", "demotic", *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        while len(endpoint.asked) < 3:
            assert process.poll() is None
            time.sleep(0.02)
        os.kill(process.pid, signal.SIGINT)
        told, _ = process.communicate(timeout=60)
        assert process.returncode == 130
        stopped = json.loads(told)
        assert stopped["is_interrupted"] and stopped["languages"]["nld_Latn"]["asked"] == 2
        endpoint.answer = right
        assert report("answers", file, "--url", endpoint.url)["languages"]["nld_Latn"]["asked"] == 6
        assert len(endpoint.asked) == 3 + 4


def test_where_nothing_is_answered_the_run_fails(file: Path) -> None:
    with scripted(lambda path, body: None) as endpoint:
        done = evaluated("answers", file, "--url", endpoint.url)
    assert done.exit_code == 1
    assert "Failed: 6 × HTTP 500: It went wrong." in done.stdout


def test_the_report_goes_to_a_file_as_well(file: Path, tmp_path: Path) -> None:
    with scripted(right) as endpoint:
        document, page = tmp_path / "report.json", tmp_path / "report.md"
        told = report("answers", file, "--url", endpoint.url, "--output", document)
        assert json.loads(document.read_text(encoding="utf-8"))["languages"] == told["languages"]
        shown = evaluated("answers", file, "--url", endpoint.url, "--output", page).stdout
    assert page.read_text(encoding="utf-8") == shown
    assert "| nld_Latn | Latn | 6 | 100.0 |" in shown


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        ('{"question": "x"', "line 2: this is no JSON"),
        ("[1]", "line 2: this is no JSON object"),
        ('{"targets": ["x"]}', "line 2: 'question' must be a text"),
        ('{"question": "x", "targets": []}', "line 2: 'targets' must be a text or a list of texts"),
    ],
)
def test_a_row_that_cannot_be_read_is_named_by_its_line(line: str, fault: str, file: Path) -> None:
    file.write_text(f"{json.dumps(ROWS[0])}\n{line}\n", encoding="utf-8")
    assert f"{file}, {fault}" in str(evaluated("answers", file, "--url", "http://127.0.0.1:9/v1").exception)


def test_s45_languages_are_named_by_rows_by_people_or_by_files(tmp_path: Path) -> None:
    by_name = jsonl(tmp_path / "bul_Cyrl.jsonl", {})
    in_folder = jsonl(tmp_path / "tha_Thai" / "dev.jsonl", {})
    other = jsonl(tmp_path / "arc.jsonl", {})
    named = [by_name, in_folder, other, f"Dutch={other}", f"sw={by_name}"]
    languages = [Source.parse(str(text)).language for text in named]
    assert languages == ["bul_Cyrl", "tha_Thai", "und", "nld_Latn", "swh_Latn"]
    with pytest.raises(InvalidRequest, match="There is no"):
        Source.parse(str(tmp_path / "missing.jsonl"))


def test_s20_every_language_has_its_script_and_a_row_of_its_own(tmp_path: Path) -> None:
    rows = [
        {"question": "Capital 1?", "targets": ["city 1"], "language": "bg"},
        {"question": "Capital 2?", "targets": ["city 3"], "language": "Thai"},
    ]
    file = jsonl(tmp_path / "mixed.jsonl", *rows)
    with scripted(right) as endpoint:
        told = report("answers", file, "--url", endpoint.url)
        page = evaluated("answers", file, "--url", endpoint.url).stdout
    assert {name: one["script"] for name, one in told["languages"].items()} == {"bul_Cyrl": "Cyrl", "tha_Thai": "Thai"}
    assert told["across_languages"]["exact match"] == {
        "average": 50,
        "min": 0,
        "min_language": "tha_Thai",
        "max": 100,
        "max_language": "bul_Cyrl",
        "gap": 100,
    }
    assert "| *gap* |  |  | 100.0 |" in page
