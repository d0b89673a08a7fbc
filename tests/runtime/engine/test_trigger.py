"""A constraint that begins in the middle of an answer: free before, bound within, free again, and for certain over."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jsonschema
import msgspec
import numpy as np
import pytest

from runtime.backends.base import Chunk, Logits
from runtime.engine.constraints import Constraint, ConstraintCompiler, Trigger, control_token
from runtime.engine.engine import Engine
from runtime.engine.messages import Delta, Event, Failed, Finished, Generate
from runtime.engine.sampling import SamplingParams
from runtime.engine.trigger import TriggeredMatcher
from runtime.model import load
from tests.fakes.decoder import END, ByteTokenizer, ScriptedDecoder
from tests.tiny.gguf import write_tiny_gguf

SOURCE = r'start: "<n>" /[0-9]{3}/ "</n>"'
NUMBER = Constraint("lark", SOURCE, trigger=Trigger(("<n>",), times=2))
PROMPT = "q"


class Scribbler(ScriptedDecoder):
    """Wants to write `text`, and where it may not, likes all else as much as any other."""

    def __init__(self, text: str) -> None:
        super().__init__(self._next, context_length=200, num_cells=400, batch_size=64)
        self._text = text.encode()
        self.num_steps = 0

    def forward(self, chunks: Sequence[Chunk], adapter: str | None = None) -> Logits:
        self.num_steps += 1
        return super().forward(chunks, adapter)

    def _next(self, tokens: list[int]) -> int:
        at = len(tokens) - len(PROMPT)
        return self._text[at] + 1 if at < len(self._text) else END


def answer(text: str, constraint: Constraint = NUMBER, **more: Any) -> tuple[str, Finished, int]:
    """What comes of a model that wants to write `text`, how it ends, and how many steps that took."""
    events: list[Event] = []
    decoder = Scribbler(text)
    engine = Engine(decoder, ByteTokenizer(), max_waiting=8, emit=events.append)
    engine.generate(Generate("a", PROMPT, SamplingParams(temperature=0), constraint=constraint, **more))
    while engine.has_work:
        engine.step()
    last = events[-1]
    if isinstance(last, Failed):
        raise last.error
    assert isinstance(last, Finished)
    return "".join(event.text for event in events if isinstance(event, Delta)), last, decoder.num_steps


def replaced(**fields: Any) -> Constraint:
    assert NUMBER.trigger is not None
    return msgspec.structs.replace(NUMBER, trigger=msgspec.structs.replace(NUMBER.trigger, **fields))


def test_an_answer_without_the_trigger_is_as_free_as_any() -> None:
    assert answer("<m>12</m> <n <<n x")[0] == "<m>12</m> <n <<n x"


def test_from_the_trigger_on_the_grammar_holds_and_then_lets_go() -> None:
    text, _, _ = answer("Да <n>12x</n> и <m>x")
    assert re.fullmatch(r"Да <n>12[0-9]</n> и <m>x", text)


def test_what_the_grammar_forces_costs_no_step() -> None:
    text, finished, steps = answer("<n>123</n>")
    assert text == "<n>123</n>"
    assert steps == finished.usage.completion_tokens - len("</n>") + 1


def test_logprobs_are_of_every_token_also_of_forced_ones() -> None:
    _, finished, steps = answer("<n>123</n>", logprobs=0)
    assert steps == finished.usage.completion_tokens + 1


def test_the_answer_ends_after_so_many_times() -> None:
    text, finished, _ = answer("<n>123</n>, <n>456</n>, <n>789</n>")
    assert text == "<n>123</n>, <n>456</n>"
    assert finished.reason == "stop"
    assert answer("<n>123</n> and", replaced(times=1))[0] == "<n>123</n>"


def test_a_trigger_may_hold_only_at_the_beginning() -> None:
    assert answer(" \n<n>12x", replaced(is_first=True))[0].startswith(" \n<n>12")
    assert re.search(r"<n>12[0-9]</n>", answer(" \n<n>12x", replaced(is_first=True))[0])
    assert answer("So <n>12x", replaced(is_first=True))[0] == "So <n>12x"
    assert answer("<m><n>12x", replaced(is_first=True))[0] == "<m><n>12x"


def test_the_longest_of_several_triggers_counts_and_the_first_place() -> None:
    both = Constraint("lark", r'start: ("<n>" | "<no>") /[0-9]/', trigger=Trigger(("<n>", "<no>"), times=1))
    assert re.fullmatch(r"<no>[0-9]", answer("<no>x", both)[0])
    assert re.fullmatch(r"a<n>[0-9]", answer("a<n>x<no>", both)[0])


def test_reasoning_triggers_nothing() -> None:
    skipping = replaced(skip=("<t>", "</t>"), times=1)
    assert re.fullmatch(r"<t><n>x</t><n>1[0-9]{2}</n>", answer("<t><n>x</t><n>1", skipping)[0])
    assert re.fullmatch(r"<n>1[0-9]{2}</n>", answer("<n>1", skipping)[0])
    begun = replaced(skip=("<t>", "</t>"), is_skipping=True)
    assert answer("<n>x</t>done", begun)[0] == "<n>x</t>done"


def test_a_grammar_may_begin_after_its_trigger() -> None:
    after = Constraint("lark", r"start: /[0-9]{2}/", trigger=Trigger(("</t>",), is_after=True))
    assert re.fullmatch(r"Hm.</t>[0-9]{2}", answer("Hm.</t>x", after)[0])
    # The model would end before; it may not.
    text, finished, _ = answer("Hm.", after, max_tokens=20)
    assert text.startswith("Hm.")
    assert finished.usage.completion_tokens == 20


def test_what_goes_another_way_within_the_very_token_of_the_trigger_is_let_go() -> None:
    class Merging(ByteTokenizer):
        """One more token, which has the trigger and more."""

        vocabulary_size = ByteTokenizer.vocabulary_size + 2

        def token_bytes(self, token: int) -> bytes:
            return {257: b"<n>7", 258: b"<n>x"}.get(token) or super().token_bytes(token)

    compiled = ConstraintCompiler(Merging()).compile(NUMBER)
    assert isinstance(compiled, TriggeredMatcher)
    compiled.accept(258)
    assert compiled.active is None
    compiled.accept(257)
    row = np.zeros(Merging.vocabulary_size, np.float32)
    allowed = compiled.restrict(row)
    assert allowed is not None
    assert {token - 1 for token in allowed} == set(b"0123456789")


def test_a_control_token_of_the_vocabulary_is_trigger_mark_and_text(tmp_path: Path) -> None:
    path = write_tiny_gguf(tmp_path / "tiny.gguf", control_tokens=("[CALL]", "[END]"))
    schema = '{"enum": [{"a": true}, {"a": false}], "x-guidance": {"whitespace_flexible": false}}'
    source = f"start: mark_0 value mark_1\nvalue: %json {schema}"
    marks = ("[CALL]", "[END]")
    with load(str(path)) as model:
        tokens = [control_token(mark, model.client._engine.tokenizer) for mark in marks]  # type: ignore[attr-defined]  # it runs in this process
        assert tokens == [259, 260]
        for trigger, bias in ((None, {}), (Trigger(("[CALL]",)), {259: 100.0})):
            request = model.card.completion_request("the world", max_tokens=60, temperature=1, seed=1)
            sampling = msgspec.structs.replace(request.sampling, logit_bias=bias)
            constraint = Constraint("lark", source, marks, trigger)
            events = list(
                model.events(msgspec.structs.replace(request, sampling=sampling, constraint=constraint, visible=marks))
            )
            text = "".join(event.text for event in events if isinstance(event, Delta))
            found = re.fullmatch(r"\[CALL\](.*)\[END\]", text)
            assert found
            jsonschema.validate(msgspec.json.decode(found[1]), msgspec.json.decode(schema))


@pytest.mark.parametrize("relaxed", [None, 'start: "<n>" /[a-z]/'])
def test_a_source_that_cannot_be_kept_gives_way_to_a_relaxed_one(relaxed: str | None) -> None:
    odd = 'start: "<n>" a\na: %json {"type": "array", "uniqueItems": true}'
    constraint = Constraint("lark", odd, trigger=Trigger(("<n>",)), relaxed=relaxed, param="tools")
    if relaxed is None:
        with pytest.raises(Exception, match="uniqueItems") as refused:
            answer("<n>1", constraint)
        assert refused.value.param == "tools"  # type: ignore[attr-defined]  # an InvalidRequest
    else:
        assert re.fullmatch("<n>[a-z]", answer("<n>1", constraint)[0])
