"""Locks and limits in characters, through the engine."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from runtime.backends.base import Chunk, Logits
from runtime.engine.client import InProcessClient, stream
from runtime.engine.constraints import Constraint
from runtime.engine.messages import Delta, Finished, Generate
from runtime.engine.sampling import SamplingParams
from runtime.errors import InvalidRequest
from runtime.language.lock import Lock
from runtime.language.scripts import foreign_characters, to_scripts
from runtime.model import Model
from tests.fakes.decoder import ScriptedDecoder, answer_with

Make = Callable[..., InProcessClient]
HARD = Lock(("Cyrl",), "hard")


def answer(client: InProcessClient, prompt: str = "?", **options: Any) -> tuple[str, Finished]:
    events = list(stream(client, Generate("a", prompt, SamplingParams(temperature=0), **options)))
    assert isinstance(events[-1], Finished)
    return "".join(event.text for event in events if isinstance(event, Delta)), events[-1]


class Torn(ScriptedDecoder):
    """A model that would rather write the first text, and failing that the second, of the same length in bytes."""

    def __init__(self, first: str, second: str, prompt: str = "?") -> None:
        super().__init__(answer_with(first, prompt), num_cells=256, context_length=256)
        self._other = answer_with(second, prompt)

    def forward(self, chunks: Any, adapter: str | None = None) -> Logits:
        rows = super().forward(chunks, adapter)
        at = 0
        for chunk in chunks:
            assert isinstance(chunk, Chunk)
            cells = [cell[0] for cell in self.cells[chunk.slot]]
            for end in range(len(cells) - chunk.num_logits + 1, len(cells) + 1):
                rows[at][self._other(cells[:end])] += 5
                at += 1
        return rows


def test_a_locked_answer_takes_the_likeliest_token_of_its_script_and_counts_the_blocked_ones(make_client: Make) -> None:
    client = make_client(Torn("два yes 2", "два да 2"))
    text, finished = answer(client, lock=HARD)
    assert text.startswith("два ")
    assert foreign_characters(text, ["Cyrl"]) == ""
    assert finished.usage.blocked_tokens > 0


def test_an_answer_without_a_lock_blocks_nothing(make_client: Make) -> None:
    text, finished = answer(make_client(ScriptedDecoder(answer_with("два yes", "?"))))
    assert (text, finished.usage.blocked_tokens) == ("два yes", 0)


def test_code_fences_pass_through_a_locked_answer_untouched(make_client: Make) -> None:
    said = "да:\n```py\nprint(1)\n```\nда"
    text, finished = answer(make_client(ScriptedDecoder(answer_with(said, "?"))), lock=HARD)
    assert (text, finished.usage.blocked_tokens) == (said, 0)


def test_a_constrained_answer_keeps_its_keys_and_has_its_free_texts_locked(make_client: Make) -> None:
    schema = '{"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"], "additionalProperties": false}'
    constraint = Constraint("json_schema", schema)
    client = make_client(Torn('{"name": "да yes"}', '{"name": "да да"}'))
    text, finished = answer(client, constraint=constraint, lock=HARD, max_tokens=20)
    assert text.startswith('{"name": "да ')
    assert foreign_characters(text.removeprefix('{"name": "'), ["Cyrl"]) == ""
    assert finished.usage.blocked_tokens > 0


def test_a_choice_of_foreign_texts_is_still_one_of_them(make_client: Make) -> None:
    client = make_client(ScriptedDecoder(answer_with("yes", "?")))
    text, _ = answer(client, constraint=Constraint("choice", '["yes", "no"]'), lock=HARD)
    assert text == "yes"


def test_an_unknown_script_in_a_lock_fails_that_request_alone(make_client: Make) -> None:
    client = make_client(ScriptedDecoder(answer_with("да", "?")))
    with pytest.raises(InvalidRequest, match="Cyrk"):
        answer(client, lock=Lock(("Cyrk",)))
    assert answer(client, lock=HARD)[0] == "да"


@pytest.mark.parametrize(
    ("limit", "text", "reason"),
    [
        (2, "да", "length"),
        (1, "д", "length"),
        (99, "да, 👩‍👩‍👧 né", "stop"),
        (4, "да, ", "length"),
        (8, "да, ", "length"),
        (9, "да, 👩‍👩‍👧", "length"),
    ],
)
def test_a_limit_in_characters_ends_the_answer_on_a_grapheme(
    make_client: Make, limit: int, text: str, reason: str
) -> None:
    client = make_client(ScriptedDecoder(answer_with("да, 👩‍👩‍👧 né", "?")))
    said, finished = answer(client, max_characters=limit)
    assert (said, finished.reason) == (text, reason)


def test_a_limit_in_characters_that_is_no_limit_is_refused(make_client: Make) -> None:
    with pytest.raises(InvalidRequest, match="max_characters must be at least 1"):
        answer(make_client(ScriptedDecoder(answer_with("да", "?"))), max_characters=0)


def test_a_stop_string_beyond_the_limit_did_not_end_the_answer(make_client: Make) -> None:
    client = make_client(ScriptedDecoder(answer_with("абвг", "?")))
    said, finished = answer(client, max_characters=2, stop=("г",))
    assert (said, finished.reason, finished.stopped_by) == ("аб", "length", None)


PROMPTS = {
    "Cyrl": "В малкото планинско село живееше",
    "Grek": "Στο μικρό χωριό του βουνού ζούσε",
    "Deva": "पहाड़ के छोटे से गाँव में रहता था",
    "Thai": "ในหมู่บ้านเล็ก ๆ บนภูเขามี",
    "Arab": "في القرية الجبلية الصغيرة كان يعيش",
    "Jpan": "山の小さな村に住んでいたのは",
    "Hang": "산속의 작은 마을에 살던",
    "Geor": "მთის პატარა სოფელში ცხოვრობდა",
}


def foreign_of(model: Model, script: str, seed: int, lock: Lock | None) -> str:
    """The foreign characters of an answer, at a temperature that would have many."""
    sampling = SamplingParams(temperature=1.5, seed=seed)
    request = Generate(f"{script}-{seed}", PROMPTS[script], sampling, 16, lock=lock)
    text = "".join(event.text for event in model.events(request) if isinstance(event, Delta))
    return foreign_characters(text, to_scripts([script]))


def test_hard_locked_answers_of_a_real_model_have_no_foreign_character_and_free_ones_have(gemma: Model) -> None:
    free = [foreign_of(gemma, script, seed, None) for seed, script in enumerate(PROMPTS)]
    hard = [foreign_of(gemma, script, seed, Lock((script,), "hard")) for seed, script in enumerate(PROMPTS)]
    assert any(free)
    assert hard == [""] * len(PROMPTS)
