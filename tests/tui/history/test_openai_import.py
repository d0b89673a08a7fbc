"""OpenAI's data export: what becomes of it, and what is refused."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import pytest

from runtime.config import HistoryConfig
from runtime.errors import ImportRefused
from tests.tui.history.openai import branched, conversation, node, write
from tui.history import conversations, tree
from tui.history.openai_import import import_openai
from tui.history.opening import open_history
from tui.history.records import Entry
from tui.history.search import search
from tui.history.store import Store
from tui.history.turns import to_messages


def imported(store: Store, tmp_path: Path, *bodies: Any) -> list[Entry]:
    """The current branch of the only conversation."""
    result = import_openai(store, write(tmp_path / "conversations.json", *bodies))
    (number,) = result.conversations
    return tree.branch(store, number)


@pytest.mark.parametrize("name", ["conversations.json", "export.zip"])
def test_all_branches_come_with_the_current_one_chosen(store: Store, tmp_path: Path, name: str) -> None:
    result = import_openai(store, write(tmp_path / name, branched()))
    assert (result.num_messages, result.num_known, result.refused) == (5, 0, [])
    (talk,) = conversations.listed(store)
    assert (talk.title, talk.created, talk.updated, talk.model) == ("Планини", 1_700_000_000, 1_700_000_900, "gpt-4o")
    branch = tree.branch(store, talk.id)
    assert [(entry.role, entry.text, entry.position) for entry in branch] == [
        ("user", "Коя е втората?", (2, 2)),
        ("assistant", "Вихрен!", (2, 2)),
    ]
    assert (branch[1].model, branch[1].created) == ("gpt-4o", 1_700_000_000.5)
    tree.choose(store, branch[0].siblings[0])
    assert [entry.text for entry in tree.branch(store, talk.id)] == ["Коя е най-високата?", "Мусала."]
    assert [hit.snippet for hit in search(store, "мусала")] == ["Мусала."]


def test_importing_again_changes_nothing(store: Store, tmp_path: Path) -> None:
    path = write(tmp_path / "conversations.json", branched())
    import_openai(store, path)
    again = import_openai(store, path)
    assert (again.conversations, again.num_known) == ([], 1)
    assert len(conversations.listed(store)) == 1


def test_a_zip_file_may_have_its_conversations_in_several_files(store: Store, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "export.zip", "w") as archive:
        for number in range(3):
            body = branched(conversation_id=str(number))
            archive.writestr(f"folder/conversations-00{number}.json", json.dumps([body]))
    assert len(import_openai(store, tmp_path / "export.zip").conversations) == 3


def test_calls_thoughts_and_results_come_as_ours_do(store: Store, tmp_path: Path) -> None:
    thoughts = {"content_type": "thoughts", "thoughts": [{"summary": "Sum", "content": "I add."}, {"content": "Ok"}]}
    branch = imported(
        store,
        tmp_path,
        conversation(
            node("q", None, "user", "2+2?"),
            node("t", "q", "assistant", content=thoughts),
            node("c", "t", "assistant", "print(2+2)", kind="code", recipient="python"),
            node("r", "c", "tool", "4", kind="execution_output", tool="python"),
            node("p", "r", "assistant", content={"content_type": "reasoning_recap", "content": "Thought for 3 s"}),
            node("a", "p", "assistant", "Four"),
        ),
    )
    assert [(entry.role, entry.text) for entry in branch] == [
        ("user", "2+2?"),
        ("assistant", ""),
        ("tool", "4"),
        ("assistant", "Four"),
    ]
    assert branch[1].reasoning == "Sum\n\nI add.\n\nOk"
    (call,) = branch[1].calls
    assert (call.name, json.loads(call.arguments)) == ("python", {"input": "print(2+2)"})
    assert (branch[2].name, branch[2].call_id) == ("python", call.id)
    assert [turn.role for turn in to_messages("", branch)] == ["user", "assistant", "tool", "assistant"]


def test_pictures_are_named_and_system_prompts_kept(store: Store, tmp_path: Path) -> None:
    parts = [{"content_type": "image_asset_pointer", "asset_pointer": "x"}, "What is it?", {"text": "spoken"}, 7, None]
    branch = imported(
        store,
        tmp_path,
        conversation(
            node("s", None, "system", "Be brief."),
            node("q", "s", "user", content={"content_type": "multimodal_text", "parts": parts}),
            title=None,
        ),
    )
    assert [entry.text for entry in branch] == ["[image_asset_pointer]\n\nWhat is it?\n\nspoken"]
    (talk,) = conversations.listed(store)
    assert talk.system_prompt == "Be brief."
    assert talk.title == "[image_asset_pointer] What is it? spoken"


def test_what_is_empty_is_passed_over(store: Store, tmp_path: Path) -> None:
    question = node("q", None, "user", "x")
    question["children"] = None
    empty: list[Any] = [
        None,
        {"content_type": "text", "parts": None},
        {"content_type": "thoughts", "thoughts": None},
        {},
    ]
    nodes = [node(str(at), str(at - 1) if at else "q", "assistant", content=each) for at, each in enumerate(empty)]
    branch = imported(store, tmp_path, conversation(question, *nodes, node("a", "3", "assistant", "y")))
    assert [entry.text for entry in branch] == ["x", "y"]


@pytest.mark.parametrize("time", [None, -1.0, 1e300, 1e12])
def test_a_time_that_is_none_is_that_of_the_conversation(store: Store, tmp_path: Path, time: float | None) -> None:
    (entry,) = imported(store, tmp_path, conversation(node("q", None, "user", "x", time=time)))
    assert entry.created == 1_700_000_000


@pytest.mark.parametrize("current", [None, "nowhere"])
def test_without_a_current_message_it_is_the_last_one(store: Store, tmp_path: Path, current: str | None) -> None:
    assert imported(store, tmp_path, branched(current_node=current))[-1].text == "Вихрен!"


def test_a_very_long_chain_is_imported(store: Store, tmp_path: Path) -> None:
    nodes = [node(str(at), str(at - 1) if at else None, "user", f"m{at}") for at in range(3000)]
    assert len(imported(store, tmp_path, conversation(*nodes))) == 3000


def test_a_damaged_conversation_is_told_of_and_the_others_come(store: Store, tmp_path: Path) -> None:
    circle = conversation(node("a", "b", "user", "x"), node("b", "a", "user", "y"))
    own = conversation(node("a", "a", "user", "x"))
    bad = [
        {"mapping": 7},
        {"title": "no mapping"},
        circle,
        own,
        None,
        conversation(node("q", None, "user", "x"), title=3),
    ]
    result = import_openai(store, write(tmp_path / "conversations.json", bad[0], branched(), *bad[1:]))
    assert len(result.conversations) == 1
    assert [sentence.partition(":")[0] for sentence in result.refused] == [
        f"conversation {number}" for number in (1, 3, 4, 5, 6, 7)
    ]
    assert "circle" in result.refused[2]
    assert len(conversations.listed(store)) == 1


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{}",
        b"[",
        b'{"conversations": []}',
        b"\xff\xfe\x00",
        b"[" * 200_000,
        b'[{"mapping": ' + b'{"a":' * 100_000,
        b"PK\x03\x04 no zip",
        b'[{"mapping": 7}]',
        b"[1, 2]",
    ],
)
def test_what_is_no_export_is_refused_and_changes_nothing(store: Store, tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "conversations.json"
    path.write_bytes(content)
    with pytest.raises(ImportRefused) as told:
        import_openai(store, path)
    assert str(path) in told.value.message
    assert "conversations.json" in told.value.remedy
    assert conversations.listed(store) == []


def test_an_export_without_conversations_is_none(store: Store, tmp_path: Path) -> None:
    assert import_openai(store, write(tmp_path / "conversations.json")).conversations == []


def test_a_file_that_is_not_there_or_no_zip_of_ours_is_refused(store: Store, tmp_path: Path) -> None:
    for path in (tmp_path / "none.json", tmp_path):
        with pytest.raises(ImportRefused, match="cannot be read"):
            import_openai(store, path)
    with zipfile.ZipFile(tmp_path / "other.zip", "w") as archive:
        archive.writestr("letters.json", "[]")
    with pytest.raises(ImportRefused, match=r"no conversations\.json"):
        import_openai(store, tmp_path / "other.zip")


def test_a_damaged_zip_file_is_refused(store: Store, tmp_path: Path) -> None:
    path = write(tmp_path / "export.zip", branched())
    content = bytearray(path.read_bytes())
    at = content.index(b"conversations.json") + 40
    content[at : at + 40] = b"\xff" * 40
    path.write_bytes(content)
    with pytest.raises(ImportRefused):
        import_openai(store, path)
    assert conversations.listed(store) == []


def test_sizes_are_bounded_also_of_what_is_packed(path: Path, tmp_path: Path) -> None:
    config = HistoryConfig(max_import_bytes=100_000, max_import_nodes=6)
    with open_history(path, config) as store:
        for name in ("conversations.json", "bomb.zip"):
            big = write(tmp_path / name, conversation(node("q", None, "user", "x" * 1_000_000)))
            with pytest.raises(ImportRefused, match="too large"):
                import_openai(store, big)
        assert (tmp_path / "bomb.zip").stat().st_size < 10_000
        with pytest.raises(ImportRefused, match="7 nodes, and at most 6"):
            import_openai(store, write(tmp_path / "conversations.json", branched()))
        assert conversations.listed(store) == []


def test_half_of_a_character_does_no_harm(store: Store, tmp_path: Path) -> None:
    path = tmp_path / "conversations.json"
    text = json.dumps([conversation(node("q", None, "user", "HALF"))]).replace("HALF", "x\\ud800y")
    path.write_text(text)
    try:
        import_openai(store, path)
    except ImportRefused:
        assert conversations.listed(store) == []
    else:
        assert [hit.snippet for hit in search(store, "x")] == ["x\ufffdy"]


def test_an_import_that_is_stopped_can_be_started_again(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(tmp_path / "conversations.json", *(branched(conversation_id=str(at)) for at in range(4)))
    real, calls = tree.insert, []

    def stopping(*arguments: Any) -> int:
        calls.append(arguments)
        if len(calls) == 8:
            raise KeyboardInterrupt
        return real(*arguments)

    monkeypatch.setattr(tree, "insert", stopping)
    with pytest.raises(KeyboardInterrupt):
        import_openai(store, path)
    assert [talk.num_messages for talk in conversations.listed(store)] == [5], "none is there by half"
    again = import_openai(store, path)
    assert (again.num_known, len(again.conversations)) == (1, 3)
