"""The lab's card, and `demotic lab`, which prints one; with the models that come with the program."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from runtime.errors import InvalidRequest
from tests.server import ServerProcess, serving
from tests.tui.endpoint import KEY, FakeEndpoint
from tui.lab.card import CardExists, default_path, files_of, read_card, refuse_existing


def lab(*arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "demotic", "lab", *arguments]
    return subprocess.run(command, input=stdin, check=False, capture_output=True, text=True, timeout=120)


@pytest.fixture(scope="module")
def server(_own_home: None) -> Iterator[ServerProcess]:
    with serving("smollm2-135m-instruct", "gemma-3-270m", "--context", "512") as running:
        yield running


def test_two_starters_answer_and_the_lock_holds(server: ServerProcess, tmp_path: Path) -> None:
    done = lab(
        *("Кажи нещо за София.", "--url", server.url, "--max-tokens", "8", "--seed", "1", "--json"),
        *("--column", "gemma-3-270m,lock=bul hard", "--column", "smollm2-135m-instruct,language=en"),
        *("--save", str(tmp_path / "sofia.md")),
    )
    assert done.returncode == 0, done.stderr
    card = json.loads(done.stdout)
    assert (card["kind"], card["version"], card["server"]) == ("demotic-lab-card", 1, "here")
    assert card["sampling"] == {"max_tokens": 8, "temperature": 0.7, "top_p": 0.95, "seed": 1}
    assert card["machine"]["versions"]["demotic"]
    gemma, smollm2 = card["columns"]
    assert gemma["served"]["quantization"] == "Q4_K_M"
    assert gemma["in_language"]["num_foreign_characters"] == 0
    assert gemma["in_language"]["asked"] == "bul_Cyrl"
    assert smollm2["instruction"] == "Answer in English only."
    for column in (gemma, smollm2):
        assert column["state"] == "complete"
        assert column["figures"]["num_tokens"] == 8
        assert column["figures"]["num_characters"] == len(column["answer"])
        assert column["figures"]["tokens_per_second"] > 0
    assert read_card(tmp_path / "sofia.json").columns[0].answer == gemma["answer"]
    assert "## Column 2: smollm2-135m-instruct" in (tmp_path / "sofia.md").read_text(encoding="utf-8")


def test_a_column_that_fails_is_on_the_card_and_in_the_exit_status(fake: FakeEndpoint) -> None:
    fake.script = [{"message": "Broken."}, ["Да."]]
    columns = ("--column", "small", "--column", "large,lock=auto hard")
    done = lab(*columns, "--url", fake.url, "--api-key", KEY, stdin="Да или не?\n")
    assert done.returncode == 1
    assert fake.messages(0) == ["Да или не?"]
    assert "[1/2 small: Broken. Choose otherwise" in done.stderr
    assert "| ended | failed | complete stop |" in done.stdout
    assert "*Broken. Choose otherwise for this column, or send it again.*" in done.stdout


def test_the_chat_without_a_screen_says_which_command_asks(fake: FakeEndpoint) -> None:
    command = [sys.executable, "-m", "demotic", "chat", "--plain", "--url", fake.url, "--api-key", KEY]
    done = subprocess.run(command, input="/lab\n", check=False, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (
        0,
        "`demotic lab` asks without a screen; `demotic lab --help` tells how.\n",
    )


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("Hi", "-c", "a"), "The lab has 2 to 4 columns, and not 1."),
        (("Hi", "-c", "a", "-c", "b,language=xxyyzz"), "There is no language 'xxyyzz'."),
        (("-c", "a", "-c", "b"), "There is no prompt."),
    ],
)
def test_what_cannot_be_asked_is_refused_in_one_line(arguments: tuple[str, ...], sentence: str) -> None:
    done = lab(*arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"demotic: {sentence}")
    assert done.stderr.count("\n") == 1


def test_nothing_is_asked_where_the_card_could_not_be_written(fake: FakeEndpoint, tmp_path: Path) -> None:
    (tmp_path / "card.json").touch()
    columns = ("--column", "small", "--column", "large", "--url", fake.url, "--api-key", KEY)
    done = lab("Hi", *columns, "--save", str(tmp_path / "card"))
    assert done.stderr == f"demotic: {tmp_path}/card.json is there already.\n"
    assert fake.requests == []


def test_both_files_of_a_card_are_called_alike(tmp_path: Path) -> None:
    for name in ("a", "a.md", "a.json"):
        assert files_of(tmp_path / name) == (tmp_path / "a.md", tmp_path / "a.json")
    assert files_of(Path("v1.2")) == (Path("v1.2.md"), Path("v1.2.json"))
    assert default_path().parent == tmp_path / "data" / "lab"
    (tmp_path / "a.md").touch()
    with pytest.raises(CardExists):
        refuse_existing(tmp_path / "a.json")


def test_what_is_no_card_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "other.json"
    file.write_text('{"kind": "demotic-lab-card", "version": 2}', encoding="utf-8")
    with pytest.raises(InvalidRequest, match="is no card of the language lab"):
        read_card(file)
    with pytest.raises(InvalidRequest):
        read_card(tmp_path / "none.json")
