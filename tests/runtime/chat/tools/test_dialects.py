"""One question, every dialect, the same calls; and what is no call stays content, as it was written."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.chat.reasoning import Piece
from runtime.chat.template import Message
from runtime.chat.tools.call import Tool, ToolCall
from runtime.chat.tools.dialects.registry import DIALECTS, FALLBACK, dialect_of
from runtime.chat.tools.parser import CallParser
from runtime.text.stream import TextStream
from tests.runtime.chat.tools.examples import ANSWERS, CALLS, FOUND, MALFORMED, QUESTION, TOOLS, VARIANTS

Read = tuple[str, list[tuple[str, str]]]


def read(dialect: str, pieces: list[str], max_calls: int = 16, tools: tuple[Tool, ...] = TOOLS) -> Read:
    """The content and the calls of an answer that comes in `pieces`."""
    parser = CallParser(DIALECTS[dialect], tools, max_calls)
    found = [each for piece in pieces for each in parser.push(piece)] + parser.finish()
    content = "".join(each.text for each in found if isinstance(each, Piece))
    return content, [(each.name, each.arguments) for each in found if isinstance(each, ToolCall)]


def test_the_examples_have_every_dialect() -> None:
    assert set(ANSWERS) == set(DIALECTS)


@pytest.mark.parametrize("dialect", DIALECTS)
def test_one_question_has_the_same_calls_in_every_dialect(dialect: str) -> None:
    assert read(dialect, [ANSWERS[dialect]]) == ("", FOUND)
    assert DIALECTS[dialect].write(CALLS) == ANSWERS[dialect]


@pytest.mark.parametrize("dialect", DIALECTS)
def test_calls_are_found_wherever_the_text_is_cut(dialect: str) -> None:
    answer = ANSWERS[dialect]
    assert read(dialect, list(answer)) == ("", FOUND)
    for at in range(len(answer)):
        assert read(dialect, [answer[:at], answer[at:]]) == ("", FOUND)


@pytest.mark.parametrize("dialect", DIALECTS)
def test_calls_are_found_wherever_the_bytes_are_cut(dialect: str) -> None:
    data = ANSWERS[dialect].encode()
    for at in range(len(data)):
        stream = TextStream()
        pieces = [stream.push(data[:at]), stream.push(data[at:]), stream.finish()]
        assert read(dialect, pieces) == ("", FOUND)


@pytest.mark.parametrize(("dialect", "answer"), VARIANTS)
def test_calls_in_other_words_are_found_too(dialect: str, answer: str) -> None:
    expected = ("", [("get_weather", '{"city": "София"}')])
    assert read(dialect, [answer]) == expected
    assert read(dialect, list(answer)) == expected


@pytest.mark.parametrize(("dialect", "answer"), MALFORMED)
def test_what_is_no_call_stays_content(dialect: str, answer: str) -> None:
    assert read(dialect, [answer]) == (answer, [])
    assert read(dialect, list(answer)) == (answer, [])


@pytest.mark.parametrize("dialect", [name for name, dialect in DIALECTS.items() if not dialect.is_first])
def test_text_before_calls_is_content_without_the_space_between(dialect: str) -> None:
    answer = f"Ще проверя.\n\n{ANSWERS[dialect]}"
    assert read(dialect, [answer]) == read(dialect, list(answer)) == ("Ще проверя.", FOUND)


def test_text_between_and_after_calls_is_content() -> None:
    one = '<tool_call>\n{"name": "get_time", "arguments": {}}\n</tool_call>'
    answer = f"A {one} B <tool_call>no</tool_call> {one}\nC"
    found = [("get_time", "{}")] * 2
    assert read("hermes", [answer]) == read("hermes", list(answer)) == ("AB <tool_call>no</tool_call>C", found)


@pytest.mark.parametrize("dialect", [name for name, dialect in DIALECTS.items() if dialect.is_first])
def test_models_without_a_mark_call_only_at_the_beginning(dialect: str) -> None:
    answer = f"So: {ANSWERS[dialect]}"
    assert read(dialect, [answer]) == read(dialect, list(answer)) == (answer, [])


@pytest.mark.parametrize("dialect", [name for name, dialect in DIALECTS.items() if dialect.end])
def test_the_end_of_a_call_may_stand_within_a_text(dialect: str) -> None:
    call = ToolCall("", "get_time", f'{{"zone": "a {DIALECTS[dialect].end} b"}}')
    answer = DIALECTS[dialect].write([call])
    # FunctionGemma's own quote ends its texts, but its end does not.
    assert read(dialect, [answer]) == read(dialect, list(answer)) == ("", [(call.name, call.arguments)])


def test_content_is_given_out_before_its_end_is_there() -> None:
    parser = CallParser(DIALECTS["hermes"], TOOLS, 16)
    assert parser.push("The weather <") == [Piece("content", "The weather")]
    assert parser.push("i>is</i> fine <tool") == [Piece("content", " <i>is</i> fine")]
    assert parser.push("box> ") == [Piece("content", " <toolbox>")]
    assert parser.finish() == [Piece("content", " ")]


def test_no_more_calls_are_found_than_there_may_be() -> None:
    one, two = (DIALECTS["hermes"].write([call]) for call in CALLS)
    assert read("hermes", [f"{one}\n{two}"], max_calls=1) == (two, FOUND[:1])
    assert read("mistral", [ANSWERS["mistral"]], max_calls=1) == (ANSWERS["mistral"], [])


def test_every_call_has_an_id_of_its_own() -> None:
    parser = CallParser(DIALECTS["hermes"], TOOLS, 16)
    calls = [each for each in parser.push(ANSWERS["hermes"]) if isinstance(each, ToolCall)]
    assert len({call.id for call in calls}) == 2
    assert all(call.id.startswith("call_") for call in calls)


@given(
    dialect=st.sampled_from(sorted(DIALECTS)),
    parts=st.lists(
        st.sampled_from(
            [*ANSWERS.values(), *(text for _, text in MALFORMED if len(text) < 100), " ", "\n", "Да. ", "<", "`"]
        )
        | st.text("<>[]{}`\"'\\ ,:()tool_call", max_size=8),
        max_size=5,
    ),
    data=st.data(),
)
def test_what_is_found_does_not_depend_on_the_pieces(dialect: str, parts: list[str], data: st.DataObject) -> None:
    whole = "".join(parts)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(whole)), max_size=5)))
    assert read(dialect, [whole[a:b] for a, b in pairwise([0, *cuts, len(whole)])]) == read(dialect, [whole])


@pytest.mark.parametrize("dialect", DIALECTS)
def test_a_template_without_tools_is_given_all_as_plain_turns(dialect: str) -> None:
    messages = [
        Message("system", "Бъди кратък."),
        Message("user", QUESTION),
        Message("assistant", "", CALLS),
        Message("tool", "18 °C", tool_call_id="call_1", name="get_weather"),
        Message("tool", "12:30", tool_call_id="call_2", name="get_time"),
        Message("user", "Благодаря!"),
    ]
    turns = DIALECTS[dialect].render(messages, TOOLS)
    roles = [turn.role for turn in turns]
    assert roles[-3:] == ["user", "assistant", "user"]
    assert not any(turn.tool_calls or turn.tool_call_id for turn in turns)
    text = "\n".join(turn.content for turn in turns)
    told = ["Бъди кратък.", QUESTION, ANSWERS[dialect], "18 °C", "12:30", "Благодаря!", "The weather of a city."]
    assert [text.count(each) for each in told] == [1] * len(told)
    assert "\\u" not in text


def test_tucan_is_asked_in_the_words_of_its_evaluator() -> None:
    (turn,) = DIALECTS["tucan"].render([Message("user", QUESTION)], [TOOLS[1]])
    assert turn == Message(
        "user",
        """\
Ти си полезен AI асистент, който предоставя полезни и точни отговори.

Имаш достъп и можеш да извикаш една или повече функции, за да помогнеш с потребителското запитване. \
Използвай ги, само ако е необходимо и подходящо.

Когато използваш функция, форматирай извикването ѝ в блок ```tool_call на отделен ред, \
a след това ще получиш резултат от изпълнението в блок ```.

## Шаблон за извикване:\x20
```tool_call
{ "name": "<function-name>", "arguments": <args-json-object> }
```

## Налични функции:
[
  {
    "name": "get_time",
    "description": "The time now.",
    "parameters": {
      "type": "object",
      "properties": {
        "zone": {
          "type": "string"
        }
      }
    }
  }
]

## Потребителска заявка:
Какво е времето в София и колко е часът?""",
    )


def test_tucan_is_asked_with_the_spaces_of_its_other_evaluator() -> None:
    (turn,) = DIALECTS["tucan-eval"].render([Message("user", QUESTION)], [TOOLS[1]])
    lines = turn.content.split("\n")
    space = " " * 20
    assert lines[0].startswith("Ти си")
    assert lines[1] == ""
    assert lines[2].startswith(f"{space}Имаш достъп")
    assert lines[3] == space
    assert lines[4].startswith(f"{space}Когато използваш")
    assert lines[5:10] == [
        "",
        f"{space}## Шаблон за извикване: ",
        f"{space}```tool_call",
        f'{space}{{ "name": "<function-name>", "arguments": <args-json-object> }}',
        f"{space}```",
    ]
    assert lines[10:13] == ["", "## Налични функции:", "["]
    assert lines[-2:] == ["## Потребителска заявка:", QUESTION]


def test_functiongemma_is_told_of_tools_as_googles_guide_shows_it() -> None:
    place = {"type": "string", "description": 'The city, e.g. "Tokyo, JP"'}
    unit = {"type": "string", "enum": ["celsius", "fahrenheit"], "description": "The unit."}
    schema = {"type": "object", "properties": {"unit": unit, "place": place}, "required": ["place"]}
    tool = Tool("get_weather", "Gets the weather.", schema)
    assert DIALECTS["function-gemma"].describe([tool], "bul_Cyrl") == (
        "You are a model that can do function calling with the following functions"
        "<start_function_declaration>declaration:get_weather{description:<escape>Gets the weather.<escape>,"
        'parameters:{properties:{place:{description:<escape>The city, e.g. "Tokyo, JP"<escape>,'
        "type:<escape>STRING<escape>},unit:{description:<escape>The unit.<escape>,"
        "enum:[<escape>celsius<escape>,<escape>fahrenheit<escape>],type:<escape>STRING<escape>}},"
        "required:[<escape>place<escape>],type:<escape>OBJECT<escape>}}<end_function_declaration>"
    )


@pytest.mark.parametrize(
    ("template", "dialect"),
    [
        (None, "prompt"),
        ("{{ messages }}", "prompt"),
        ("<tool_call> within <tools></tools> XML tags", "hermes"),
        ("{{ '<|python_tag|>' }}", "llama-json"),
        ("[func_name1(params_name1=params_value1)]", "pythonic"),
        ("{{ '[TOOL_CALLS] [' }}", "mistral"),
        ("{{ '[TOOL_CALLS]' + name + '[ARGS]' }}", "mistral-args"),
        ("{{ '<start_of_turn>user' }}", "gemma"),
        ("<start_of_turn><start_function_call>call:", "function-gemma"),
        ("{{ '<｜tool▁calls▁begin｜>' }}", "deepseek"),
    ],
)
def test_the_dialect_is_read_from_the_template(template: str | None, dialect: str) -> None:
    assert dialect_of(template).name == dialect
    assert dialect_of(template) is DIALECTS[dialect]
    assert FALLBACK is DIALECTS["prompt"]
