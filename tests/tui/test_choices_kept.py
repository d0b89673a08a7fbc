"""What was chosen in a conversation comes back with it: model, adapter, lock, sampling, system prompt."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from runtime.errors import ModelNotFound
from tests.tui.choosing.test_served import MODELS
from tests.tui.endpoint import KEY, FakeEndpoint, running_endpoint
from tests.tui.test_app import say, screen, until, until_so
from tui.app import ChatApp
from tui.choosing import offers
from tui.choosing.kept import lasting
from tui.events import Endpoint
from tui.history import conversations
from tui.history.drafts import Draft, save_draft
from tui.history.opening import open_history
from tui.keeper import Keeper
from tui.switching import SwitchedServer, prefer_kept

SIZE = (120, 30)


@pytest.fixture
def fake() -> Iterator[FakeEndpoint]:
    with running_endpoint() as running:
        running.models = MODELS
        running.script = [["One."], ["Two."], ["Three."]]
        yield running


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "chats.sqlite3"


@pytest.fixture
def chat(fake: FakeEndpoint, path: Path) -> Callable[..., ChatApp]:
    return lambda **more: ChatApp(fake.connect, keeper=Keeper(partial(open_history, path)), **more)


def begun(path: Path, text: str, **made: Any) -> int:
    """A conversation in which something was typed, by its number."""
    with open_history(path) as store:
        number = conversations.create(store, **made).id
        save_draft(store, number, Draft(text))
        return number


async def test_all_that_was_chosen_comes_back_with_the_conversation_that_is_continued(
    fake: FakeEndpoint, chat: Callable[..., ChatApp], path: Path
) -> None:
    async with (app := chat()).run_test(size=SIZE) as pilot:
        await until(app, "gemma · ready")
        for command in ("/adapter mk", "/lock bul hard", "/sampling temperature 0.3", "/system Кратко."):
            await say(pilot, command)
        await until(app, "gemma · mk · ready", "bul_Cyrl (locked)", "temperature 0.3", "Кратко.")
        await say(pilot, "Hi")
        await until(app, "One.", "ready")
        await say(pilot, "/lock soft")  # chosen after the last answer, and remembered all the same
        await until(app, "others become unlikely")
    async with (app := chat(resume="last")).run_test(size=SIZE) as pilot:
        await until(app, "One.", "gemma · mk · ready", "bul_Cyrl (locked)")
        await say(pilot, "Again")
        await until(app, "Two.", "ready")
    with open_history(path) as store:
        (kept,) = conversations.listed(store)
    assert (kept.model, kept.adapter) == ("gemma", "mk")
    first, second = fake.requests
    assert (first["language"], first["mode"]) == ("bul_Cyrl", "hard")
    assert second["messages"][0] == {"role": "system", "content": "Кратко."}
    assert {name: second[name] for name in ("model", "language", "mode", "temperature")} == {
        "model": "gemma:mk",
        "language": "bul_Cyrl",
        "mode": "soft",
        "temperature": 0.3,
    }


async def test_each_conversation_has_its_own(fake: FakeEndpoint, chat: Callable[..., ChatApp], path: Path) -> None:
    one = begun(path, "first", model="foreign", settings={"sampling": {"seed": 7}})
    other = begun(path, "second", model="gemma", adapter="law")
    async with (app := chat(resume="new")).run_test(size=SIZE) as pilot:
        await until(app, "gemma · ready")
        await say(pilot, f"/open {one}")
        await until(app, "foreign · ready", "first")
        await pilot.press("enter")
        await until(app, "One.", "ready")
        await say(pilot, f"/open {other}")
        await until(app, "gemma · law · ready", "second")
        await pilot.press("enter")
        await until(app, "Two.", "ready")
    assert [(request["model"], request.get("seed")) for request in fake.requests] == [
        ("foreign", 7),
        ("gemma:law", None),
    ]


async def test_what_the_server_no_longer_has_is_told_with_a_next_step(
    fake: FakeEndpoint, chat: Callable[..., ChatApp], path: Path
) -> None:
    gone = begun(path, "first", model="qwen", adapter="x", settings={"sampling": {"seed": 7}})
    without = begun(path, "second", model="gemma", adapter="x")
    async with (app := chat(resume="new")).run_test(size=SIZE) as pilot:
        await until(app, "gemma · ready")
        await say(pilot, f"/open {gone}")
        await until(app, "The server no longer has qwen, which answered here; gemma answers now. /model chooses")
        await pilot.press("enter")
        await until(app, "One.", "ready")
        await say(pilot, f"/open {without}")
        await until(app, "gemma has no adapter x any more, and answers without it. /adapter chooses another.")
        assert "x · ready" not in screen(app)
    assert (fake.requests[0]["model"], fake.requests[0]["seed"]) == ("gemma", 7)


async def test_a_model_of_the_command_line_stays_and_the_other_one_is_told_of(fake: FakeEndpoint, path: Path) -> None:
    begun(path, "first", model="foreign", settings={"lock": {"language": "bul_Cyrl"}})

    async def connect() -> Endpoint:
        return Endpoint(fake.url, KEY, model="gemma:mk")

    app = ChatApp(connect, keeper=Keeper(partial(open_history, path)), resume="last", is_model_given=True)
    async with app.run_test(size=SIZE) as pilot:
        await until(app, "gemma · mk · ready", "bul_Cyrl (locked)", "first")
        await until(app, "foreign answered here before. /model foreign has it answer again.")
        await say(pilot, "")
        await until(app, "One.", "ready")
        await say(pilot, "/model foreign")
        await until(app, "foreign · ready")
    assert fake.requests[0]["model"] == "gemma:mk"


def shown_here(monkeypatch: pytest.MonkeyPatch, *here: str) -> None:
    """The program's commands, answered without a child process."""

    async def output(*arguments: str, on_line: Callable[[str], None] | None = None) -> bytes:
        if arguments[0] == "show":
            return json.dumps({"here": arguments[-1] in here}).encode()
        assert arguments == ("list", "--json")
        return json.dumps({"default": "small", "models": [], "available": []}).encode()

    monkeypatch.setattr(offers, "output_of", output)


def switching(fake: FakeEndpoint, asked: list[str]) -> Callable[[str], Awaitable[Endpoint]]:
    async def switch(model: str) -> Endpoint:
        asked.append(model)
        fake.models = [{"id": Path(model).stem, "object": "model"}]
        return Endpoint(fake.url, KEY)

    return switch


async def test_the_chat_s_own_server_is_exchanged_for_the_conversation_s_model(
    fake: FakeEndpoint, chat: Callable[..., ChatApp], path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "mine.gguf"
    file.touch()
    shown_here(monkeypatch, "small", str(file))
    fake.models = [{"id": "small", "object": "model"}]
    gone = begun(path, "first", model="gone")
    asked: list[str] = []
    app = chat(resume="new", switch=switching(fake, asked), model_name="small")
    async with app.run_test(size=SIZE) as pilot:
        await until(app, "small · ready")
        await say(pilot, f"/open {gone}")
        await until(
            app, "gone, which answered here, is no longer on this machine; small answers now. /model gone looks"
        )
        app.conversation.prompt.value = "/new"
        await pilot.press("enter")
        await until_so(lambda: "first" not in screen(app))
        monkeypatch.chdir(tmp_path)
        assert await app.switch_model("mine.gguf")
        await until(app, "mine · ready")
        await say(pilot, "Hi")
        await until(app, "One.", "ready")
    with open_history(path) as store:
        kept = conversations.listed(store)[0]
    assert kept.model == str(file), "the file is found from any folder"
    app = chat(resume="new", switch=switching(fake, asked))
    async with app.run_test(size=SIZE) as pilot:
        fake.models = [{"id": "small", "object": "model"}]
        await until(app, "ready")
        await say(pilot, f"/open {kept.id}")
        await until(app, "mine · ready", "One.")
    assert asked == ["mine.gguf", str(file)]


async def test_a_conversation_whose_model_does_not_start_is_answered_by_the_default_one(
    fake: FakeEndpoint, chat: Callable[..., ChatApp], path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown_here(monkeypatch, "small")
    begun(path, "first", model="gone")

    async def connect() -> Endpoint:
        raise ModelNotFound("gone", remedy="Run `demotic pull gone`.")

    asked: list[str] = []
    app = ChatApp(
        connect,
        model_name="gone",
        resume="last",
        keeper=Keeper(partial(open_history, path)),
        switch=switching(fake, asked),
    )
    async with app.run_test(size=SIZE):
        await until(app, "It answered here before; another", "first")
        shown = await until(app, "small · ready")
        assert "no longer on this machine" not in shown, "once is enough"
    assert asked == ["small"]
    assert app.start_fault is None


async def test_the_model_of_the_conversation_that_goes_on_is_the_first_one_to_load(path: Path) -> None:
    begun(path, "first", model="kept")
    for named, resume, expected in (
        (None, "last", "kept"),
        (None, "left", "kept"),
        (None, "new", None),
        ("named", "last", "named"),
    ):
        server, keeper = SwitchedServer(named), Keeper(partial(open_history, path))
        await prefer_kept(server, keeper, resume)  # type: ignore[arg-type]  # one of them
        assert server.model == expected
        keeper.close()


def test_only_a_file_has_a_lasting_name(tmp_path: Path) -> None:
    (tmp_path / "m.gguf").touch()
    assert lasting(str(tmp_path / "x" / ".." / "m.gguf")) == ""
    assert lasting(str(tmp_path / "." / "m.gguf")) == str((tmp_path / "m.gguf").resolve())
    assert (lasting(""), lasting("qwen3-0.6b"), lasting("hf:a/b")) == ("", "", "")


async def test_a_choice_that_cannot_be_remembered_is_told(chat: Callable[..., ChatApp], path: Path) -> None:
    number = begun(path, "first")
    async with (app := chat()).run_test(size=SIZE) as pilot:
        await until(app, "first", "gemma · ready")
        with open_history(path) as store, store.writing() as connection:
            connection.execute("DELETE FROM conversations WHERE id = ?", (number,))
        app.conversation.prompt.value = "/lock bul_Cyrl"
        await pilot.press("enter")
        await until(app, "There is no conversation")
