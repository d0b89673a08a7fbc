"""The commands of the chat line by line, on a real pipe: the same as on the screen, in lists and lines."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.server import serving
from tests.tui.endpoint import CUT, FakeEndpoint
from tests.tui.test_plain import piped
from tui.commands import registry
from tui.history import conversations, tree
from tui.history.opening import open_history

CODE = "See:\n\n```python\nx = 1\n```\n"


@pytest.fixture(autouse=True)
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where conversations are remembered."""
    monkeypatch.setenv("DEMOTIC_DATA_DIR", str(tmp_path / "data"))
    return tmp_path / "data"


def test_all_commands_but_those_of_the_screen_itself_are_there() -> None:
    assert {name for name, command in registry.COMMANDS.items() if command.plain is None} == {
        "keys",
        "palette",
        "theme",
    }


def test_answers_are_had_again_and_branches_are_gone_to(fake: FakeEndpoint) -> None:
    fake.script = [["Blue."], ["Grey."], ["Because."], ["Why not."]]
    done = piped(fake, "/branches\nWhat colour?\n/again\n/branches\n1\nWhy?\n/branches\ngrey\nAnd?\n")
    lines = done.stdout.splitlines()
    assert lines[:5] == ["Blue.", "Grey.", "Which branch?", "1. 1/2 Blue.", "2. 2/2 Grey. · in use"]
    assert "Blue." in lines[5:7]
    assert fake.messages(2) == ["What colour?", "Blue.", "Why?"]
    assert fake.messages(3) == ["What colour?", "Grey.", "And?"]
    assert "Nothing was said yet." in done.stderr
    assert done.returncode == 1


def test_a_message_is_said_in_another_way_and_the_old_one_stays(fake: FakeEndpoint, data: Path) -> None:
    fake.script = [["Blue."], ["Air."], ["Green."]]
    done = piped(fake, "The sky?\nWhy?\n/edit\n1\nThe\\\ngrass?\n/edit 1\n\n")
    assert "Which message is to be said in another way?\n1. The sky?\n2. Why?\n" in done.stdout
    # What it was stands there before it is said anew; an empty line leaves it.
    assert "The sky?\nGreen.\nThe\ngrass?\n" in done.stdout
    assert fake.messages(2) == ["The\ngrass?"]
    with open_history(data / "chats.sqlite3") as store:
        (talk,) = conversations.listed(store)
        assert len(tree.every(store, talk.id)) == 6
    assert done.returncode == 0


def test_a_cut_answer_goes_on_behind_what_is_there(fake: FakeEndpoint, data: Path) -> None:
    fake.script = [["Once upon", CUT], [" a time."], ["The end."]]
    done = piped(fake, "Tell\n/continue\n/continue\nMore\n")
    assert done.stdout == "Once upon a time.\nThe end.\n"
    assert "The last answer is not cut. /again has it answered anew." in done.stderr
    assert fake.requests[1]["continue_final_message"] is True
    assert fake.messages(2) == ["Tell", "Once upon a time.", "More"]


def test_what_is_copied_is_printed_as_it_was_written(fake: FakeEndpoint) -> None:
    fake.script = [[CODE]]
    done = piped(fake, "/copy\nCode?\n/copy\n/copy code\n")
    assert done.stdout == f"{CODE}\n{CODE}\nx = 1\n"
    assert "There is no answer yet." in done.stderr


def test_lock_and_sampling_are_chosen_from_lists_or_named_and_asked_for(fake: FakeEndpoint) -> None:
    fake.script = [["Да."], ["Не."]]
    done = piped(fake, "/lock\nbulgar\nA\n/lock off\n/sampling\n1\n0.5\n/sampling max_tokens 7\n/sampling seed x\nB\n")
    assert "Keep answers in the script of a language" in done.stdout
    assert "1. off · in use\n2. the language of the message\n" in done.stdout
    assert "Answers stay in the script of Bulgarian · български" in done.stdout
    assert "1. temperature: default · 0 always takes the likeliest token\n" in done.stdout
    assert "Sampling: temperature 0.5, max_tokens 7.\n" in done.stdout
    assert "'x' does not fit seed: a whole number." in done.stderr
    assert (fake.requests[0]["language"], fake.requests[0]["mode"]) == ("bul_Cyrl", "soft")
    assert fake.requests[1]["temperature"] == 0.5
    assert "language" not in fake.requests[1]


def test_models_and_adapters_of_a_server_are_chosen_by_their_number(fake: FakeEndpoint) -> None:
    details = {"adapters": ["law", "verse"], "capabilities": ["chat"]}
    fake.models = [
        {"id": "small", "object": "model", "demotic": details},
        {"id": "small:law", "object": "model", "parent": "small"},
        {"id": "small:verse", "object": "model", "parent": "small"},
        {"id": "other", "object": "model"},
    ]
    fake.script = [["A."], ["B."], ["C."]]
    done = piped(fake, "/adapter\n3\nOne\n/model\n2\nTwo\n/model\n\n/model nosuch\nThree\n")
    assert "Choose an adapter of small\n1. no adapter · in use\n2. law\n3. verse\n" in done.stdout
    assert "Choose a model of the server\n1. small" in done.stdout
    assert [request["model"] for request in fake.requests] == ["small:verse", "other", "other"]
    assert "The server has no model 'nosuch'." in done.stderr


def test_conversations_are_opened_named_kept_and_deleted(fake: FakeEndpoint, tmp_path: Path) -> None:
    fake.script = [["Eins."], ["Zwei."], ["Drei."]]
    note = tmp_path / "note.txt"
    note.write_text("in the note")
    exported = tmp_path / "chat.md"
    done = piped(
        fake,
        f"Berge\n/rename Alps\n/pin\n/new\n/attach {note}\nMeere\n/open\nalps\n/system Be brief.\nUnd\n"
        f"/export {exported}\n/delete\n/search note\n1\n/restore 1\n",
    )
    assert "1. * Alps\n2. note.txt" in done.stdout
    assert "in the note" in fake.messages(1)[-1]
    assert fake.messages(2) == ["Be brief.", "Berge", "Eins.", "Und"]
    assert "Berge" in exported.read_text()
    assert "Deleted. /restore 1 brings it back." in done.stdout
    assert done.stderr.count("Going on with: Alps") == 2
    assert done.returncode == 0


def test_the_language_is_chosen_from_a_list_and_the_screens_own_commands_say_so(fake: FakeEndpoint) -> None:
    done = piped(fake, "/language\nfrançais\n/theme\n")
    assert "1. English" in done.stdout
    assert "/theme" in done.stderr
    assert done.returncode == 1


def test_an_answer_of_demotics_own_server_goes_on_where_max_tokens_cut_it() -> None:
    with serving("smollm2-135m-instruct", "--context", "1024") as server:
        there = FakeEndpoint(server.url)
        question = "What is the capital of France? Answer in one sentence."
        whole = piped(there, f"/sampling temperature 0\n{question}\n").stdout.splitlines()[-1]
        lines = (
            f"/sampling temperature 0\n/sampling max_tokens 4\n{question}\n/sampling max_tokens 40\n/continue\n/copy\n"
        )
        done = piped(there, lines)
    assert "Paris" in whole
    assert done.stdout.splitlines()[-1] == whole
