"""Every dialect with real vocabularies, and the option that sets one."""

from __future__ import annotations

import json
import subprocess
import sys
import uuid
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from openai import OpenAI

from runtime.chat.prompt import ChatPrompt
from runtime.chat.template import Message
from runtime.chat.tools.call import Tool, ToolCall
from runtime.chat.tools.dialects.registry import DIALECTS
from runtime.chat.tools.use import ToolUse
from runtime.engine.constraints import ConstraintCompiler
from runtime.engine.messages import Delta, Finished
from runtime.engine.sampling import SamplingParams
from runtime.model import Model
from tests.server import serving
from tests.tiny.gguf import write_tiny_gguf

SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "град": {"type": "string", "enum": ["София", "Варна"]},
        "unit": {"type": "string", "enum": ["C", "F"]},
        "days": {"type": "integer"},
        "is_long": {"type": "boolean"},
    },
    "required": ["град", "is_long"],
    "additionalProperties": False,
}
TOOLS = (
    Tool("get_weather", "Weather.", SCHEMA),
    Tool("get_time", "Time.", {"type": "object", "properties": {}, "additionalProperties": False}),
)
SCHEMAS = {tool.name: tool.parameters for tool in TOOLS}
QUESTION = [Message("user", "Какво е времето в София и колко е часът?")]


def answer(model: Model, dialect: str, use: ToolUse, seed: int) -> tuple[list[ToolCall], str, Finished]:
    """The calls, the content and the end of an answer in a dialect."""
    template = model.card.template
    prompt = ChatPrompt(template.render(QUESTION), template.stop, tools=use, dialect=DIALECTS[dialect])
    request = prompt.to_request(uuid.uuid4().hex, SamplingParams(temperature=1.0, seed=seed), 400)
    reader = prompt.reader()
    found: list[Any] = []
    for event in model.events(request):
        if isinstance(event, Delta):
            found += reader.push(event.text)
    found += reader.finish()
    assert isinstance(event, Finished)
    calls = [each for each in found if isinstance(each, ToolCall)]
    return calls, "".join(each.text for each in found if not isinstance(each, ToolCall)), event


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("name", ["smollm2", "gemma"])
def test_a_call_that_must_be_parses_and_validates_in_every_dialect(
    request: pytest.FixtureRequest, name: str, dialect: str
) -> None:
    model = request.getfixturevalue(name)
    uses = (
        ToolUse(TOOLS, "required", is_parallel=False),
        ToolUse(TOOLS, "required", named="get_weather"),
    )
    for seed, use in enumerate(uses):
        calls, content, finished = answer(model, dialect, use, seed)
        assert finished.reason == "stop"
        assert content == ""
        assert 1 <= len(calls) <= use.max_calls
        for call in calls:
            jsonschema.validate(json.loads(call.arguments), SCHEMAS[call.name])
            assert use.named in {None, call.name}
            assert "\\u" not in call.arguments


@pytest.mark.parametrize("dialect", DIALECTS)
def test_whatever_begins_a_call_begins_its_constraint(smollm2: Model, dialect: str) -> None:
    use = ToolUse(TOOLS)
    prompt = ChatPrompt("?", tools=use, dialect=DIALECTS[dialect])
    constraint = prompt.to_request("a", SamplingParams(), 400).constraint
    assert constraint is not None
    engine: Any = smollm2.client._engine  # type: ignore[attr-defined]  # it runs in this process
    compiler = ConstraintCompiler(engine.tokenizer)
    for start in DIALECTS[dialect].starts(TOOLS):
        matcher = compiler.compile(constraint)
        for token in engine.tokenizer.encode(start, parse_special=False, is_beginning=False):
            assert matcher.active is None
            matcher.accept(token, may_foretell=False)
        assert matcher.active is not None, start


def test_serve_takes_a_dialect_for_each_model(tmp_path: Path, smollm2_path: Path) -> None:
    tiny = write_tiny_gguf(
        tmp_path / "tiny.gguf", chat_template="{% for m in messages %}{{ m.content }}{% endfor %}", context_length=2048
    )
    tool: Any = {"type": "function", "function": {"name": "get_time"}}
    options = ("--tool-dialect", "mistral", "--tool-dialect", "tiny=tucan", "--no-store")
    with (
        serving(str(smollm2_path), str(tiny), "--context", "2048", *options) as server,
        OpenAI(base_url=server.base_url, api_key="unused", max_retries=0) as client,
    ):
        first = client.models.list().data[0].id
        starts = {}
        for model in (first, "tiny"):
            answer = client.chat.completions.create(
                model=model,
                messages=[{"role": "user", "content": "?"}],
                tools=[tool],
                tool_choice="required",
                max_tokens=6,
                temperature=0,
            )
            starts[model] = answer.choices[0].message.content or ""
        # Cut off before its end, a call is text.
        assert starts[first].startswith("[TOOL_CALLS]"[:6])
        assert starts["tiny"].startswith("```to")


@pytest.mark.parametrize(
    ("value", "sentence"),
    [("cobol", "no dialect of calls named 'cobol'"), ("other=tucan", "'other', which is not served")],
)
def test_serve_refuses_dialects_that_cannot_be(tmp_path: Path, value: str, sentence: str) -> None:
    model = write_tiny_gguf(tmp_path / "tiny.gguf")
    refused = subprocess.run(
        [sys.executable, "-m", "demotic", "serve", str(model), "--tool-dialect", value, "--port", "0"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert refused.returncode == 2
    assert sentence in refused.stderr
