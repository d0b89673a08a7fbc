"""A chat whose every figure and text is fixed, in four scripts, for pictures of it."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import msgspec
from textual.pilot import Pilot

from runtime.chat.tools.call import ToolCall
from tests.tui.endpoint import KEY, FakeEndpoint
from tests.tui.test_app import until
from tui.app import ChatApp
from tui.choosing.choices import Lock
from tui.events import AnswerFinished, Endpoint, figure_forms
from tui.history import conversations, tree
from tui.history.records import NewMessage
from tui.history.store import Store
from tui.keeper import Keeper
from tui.lab.figures import Figures
from tui.shapes import TextUsage
from tui.widgets.card import CallCard
from tui.widgets.prompt import Prompt
from tui.words import _

CODE = "```python\nfor n in range(3):\n    print(n, 'да')  # ١٢٣\n```\n"
FIGURES = AnswerFinished("stop", 120, 360, 0.42, 6.0, num_prompt_tokens=904)
MODEL = {
    "id": "qwen3-0.6b",
    "demotic": {"capabilities": ["chat"], "device": "cuda", "context_length": 8192, "adapters": ["recepti"]},
}


@dataclass(frozen=True)
class Talked:
    """What is said in one language; `cities` and `number` are the heads of a table."""

    language: str
    question: str
    thought: str
    begun: str
    cities: str
    number: str
    city: str
    draft: str


TALKED: Mapping[str, Talked] = {
    "en": Talked("eng_Latn", "Which cities, and how large?", "A table is asked for.", "Two **cities**:",
                 "City", "People", "Sofia", "And the cafés’ naïve menu?"),
    "ar": Talked("arb_Arab", "ما هي المدن (Cities)، وكم عدد سكانها؟", "يُطلب جدول.", "مدينتان **كبيرتان** في Egypt:",
                 "المدينة", "السكان", "القاهرة", "وماذا عن مَدِينَة Alexandria (الإسكندرية)؟"),
    "hi": Talked("hin_Deva", "कौन से शहर, और कितने बड़े?", "तालिका चाहिए।", "दो **शहर**, स्त्री और क्षेत्र:",
                 "शहर", "जनसंख्या", "मुंबई", "और क्षत्रिय, विद्यार्थी, कार्य?"),
    "ja": Talked("jpn_Jpan", "どの都市で、人口はどれくらい?", "表が求められている。", "二つの**都市**です。",
                 "都市", "人口", "東京", "では「京都」と👩‍👩‍👧は?"),
}  # fmt: skip

LISTED = {
    "default": "qwen3-0.6b",
    "models": [
        {"name": "qwen3-0.6b", "license": "Apache-2.0", "languages": ["eng_Latn", "zho_Hans", "arb_Arab", "jpn_Jpan"],
         "size_bytes": 639_000_000, "task": "chat", "fit": {"fits": True}},
        {"name": "gemma-3-270m", "license": "Gemma", "languages": ["eng_Latn", "hin_Deva", "bul_Cyrl", "jpn_Jpan",
         "arb_Arab"], "size_bytes": 253_000_000, "task": "completion", "fit": {"fits": True}},
    ],
    "available": [
        {"name": "huge", "license": None, "size_bytes": 90_000_000_000, "task": "chat", "languages": ["bul_Cyrl"],
         "fit": {"fits": False, "is_estimate": True, "reason": "Too large."}},
    ],
}  # fmt: skip


async def listed_output(*arguments: str, on_line: Callable[[str], None] | None = None) -> bytes:
    """What `demotic list` prints, without a child process."""
    del arguments, on_line
    return json.dumps(LISTED).encode()


def remembered() -> Store:
    """A conversation in each language, the English one last."""
    store = Store(is_in_memory=True)
    for talked in reversed(list(TALKED.values())):
        number = conversations.create(store, model="qwen3-0.6b", adapter="recepti").id
        said = tree.add(store, number, None, NewMessage("user", talked.question))
        table = f"| {talked.cities} | {talked.number} |\n| --- | ---: |\n| {talked.city} | 1,286,383 |\n"
        text = f"{talked.begun}\n\n{table}\n{CODE}"
        tree.add(store, number, said.id, NewMessage("assistant", text, reasoning=talked.thought))
    conversations.pin(store, 1, is_pinned=True)
    return store


def chat(fake: FakeEndpoint) -> ChatApp:
    """The chat, with its own server."""
    fake.models = [MODEL, {"id": "qwen3-0.6b:recepti", "parent": "qwen3-0.6b"}]

    async def switch(model: str) -> Endpoint:
        return Endpoint(fake.url, KEY, model=model)

    return ChatApp(fake.connect, keeper=Keeper(remembered), resume="new", switch=switch)


async def ready(pilot: Pilot[Any]) -> ChatApp:
    """The chat, once it is ready; its cursor does not blink."""
    app = pilot.app
    assert isinstance(app, ChatApp)
    await until(app, "qwen3-0.6b")
    while app.conversation.state != "ready":
        await pilot.pause(0.01)
    app.conversation.prompt.cursor_blink = False
    return app


def conversation(code: str) -> Callable[[Pilot[Any]], Awaitable[None]]:
    """An answer of Markdown, reasoning, a question about a tool, an error with a next step, the status line, a draft."""

    async def show(pilot: Pilot[Any]) -> None:
        app, talked = await ready(pilot), TALKED[code]
        screen = app.conversation
        number = len(TALKED) - list(TALKED).index(code)
        await screen.open(number)
        await screen.transcript.fail(
            _("The answer broke off before its end.") + " " + _("Say it again, or say something else.")
        )
        card = CallCard(ToolCall("1", "weather", json.dumps({"city": talked.city, "days": 3}, ensure_ascii=False)))
        await screen.transcript.mount(card)
        screen.run_worker(card.ask(is_read_only=True))
        await screen.choose(msgspec.structs.replace(screen.choices, lock=Lock(talked.language), adapter="recepti"))
        usage = TextUsage(answer_language=talked.language, context_left=7168)
        screen.status.note([replace(FIGURES, text=usage)], 0, None)
        screen.figures = figure_forms([FIGURES], 0)[0]
        screen.prompt.value = talked.draft
        await settled(pilot)
        for _try in range(3):  # a machine that is busy may lay it out after a pause that seemed quiet
            screen.transcript.scroll_end(animate=False, immediate=True)
            await settled(pilot)

    return show


def commanded(name: str) -> Callable[[Pilot[Any]], Awaitable[None]]:
    """What a command opens."""

    async def show(pilot: Pilot[Any]) -> None:
        app = await ready(pilot)
        app.conversation.action_run_command(name)
        while app.screen is app.conversation:
            await pilot.pause(0.01)
        for editor in app.screen.query("Editor"):
            editor.cursor_blink = False  # type: ignore[attr-defined]  # it is one
        await settled(pilot)

    return show


def answers_of_lab(code: str) -> list[str]:
    """What the endpoint says for each column: a word while it is warmed, then the answer."""
    talked = TALKED[code]
    first, second = f"{talked.begun}\n\n- {talked.city}\n- София", f"{talked.begun}\n\n1. {talked.city}"
    return ["!", first, "!", second]


def figures_of_lab(_ended: AnswerFinished, text: str) -> Figures:
    """The same for every answer, whatever it took."""
    return Figures(12, len(text), len(text), 1.2, 0.42, 15.4, 30.2)


def lab(code: str) -> Callable[[Pilot[Any]], Awaitable[None]]:
    """One prompt to two columns, with both answers."""

    async def show(pilot: Pilot[Any]) -> None:
        await commanded("lab")(pilot)
        prompt = pilot.app.screen.query_one(Prompt)
        prompt.cursor_blink = False
        prompt.insert_text_at_cursor(TALKED[code].question)
        await pilot.press("enter")
        while "30.2" not in str(pilot.app.screen.query(".result").last().render()):
            await pilot.pause(0.01)
        await settled(pilot)

    return show


async def settled(pilot: Pilot[Any]) -> None:
    """Wait until nothing changes any more."""
    before = ""
    while (now := "\n".join(strip.text for strip in pilot.app.screen._compositor.render_strips())) != before:
        before = now
        await pilot.pause(0.1)
