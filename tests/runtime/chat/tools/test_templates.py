"""Chat templates that know tools are given them in OpenAI's shape; the others get text."""

from __future__ import annotations

from pathlib import Path

import pytest

from runtime.card import ModelCard
from runtime.chat.template import ChatTemplate, Message
from runtime.chat.tools.call import Tool, ToolCall
from runtime.chat.tools.dialects.registry import DIALECTS
from runtime.models.catalog import load_catalog
from runtime.models.store import ModelFile
from tests.runtime.chat.tools.examples import CALLS, QUESTION, TOOLS
from tests.tiny.gguf import write_tiny_gguf

CONVERSATION = [
    Message("user", QUESTION),
    Message("assistant", "", CALLS[:1]),
    Message("tool", "18 °C", tool_call_id="call_1", name="get_weather"),
]
# As Qwen's: tools in the system turn, calls between marks, results in a turn of the user.
QWEN = """\
{%- if tools %}<|im_start|>system
# Tools
{%- for tool in tools %}
{{ tool | tojson }}
{%- endfor %}<|im_end|>
{% endif %}
{%- for message in messages %}
{%- if message.role == 'tool' %}<|im_start|>user
<tool_response>
{{ message.content }}
</tool_response><|im_end|>
{% elif message.tool_calls %}<|im_start|>assistant
{%- for call in message.tool_calls %}
<tool_call>
{"name": "{{ call.function.name }}", "arguments": {{ call.function.arguments | tojson }}}
</tool_call>
{%- endfor %}<|im_end|>
{% else %}<|im_start|>{{ message.role }}
{{ message.content }}<|im_end|>
{% endif %}
{%- endfor %}
{%- if add_generation_prompt %}<|im_start|>assistant
{% endif %}"""
# As Mistral's: an id of any other length is refused.
MISTRAL = """\
{%- if tools %}[AVAILABLE_TOOLS]{{ tools | tojson }}[/AVAILABLE_TOOLS]{% endif %}
{%- for message in messages %}
{%- if message.role == 'user' %}[INST]{{ message.content }}[/INST]
{%- elif message.tool_calls %}[TOOL_CALLS][
{%- for call in message.tool_calls %}
{%- if call.id | length != 9 %}{{ raise_exception('Tool call IDs have length 9!') }}{% endif %}
{"name": "{{ call.function.name }}", "arguments": {{ call.function.arguments | tojson }}, "id": "{{ call.id }}"}
{%- endfor %}]
{%- elif message.role == 'tool' %}[TOOL_RESULTS]{{ message.content }} for {{ message.tool_call_id }}[/TOOL_RESULTS]
{%- endif %}
{%- endfor %}"""
# As Llama's: what has several calls in a turn is refused.
LLAMA = """\
{%- for tool in tools or [] %}{{ tool | tojson }}
{% endfor %}
{%- for message in messages %}
{%- if message.tool_calls %}
{%- if message.tool_calls | length != 1 %}{{ raise_exception('Single tool-calls only!') }}{% endif %}
{%- set call = message.tool_calls[0].function %}
{{- 'assistant: {"name": "' + call.name + '", "parameters": ' + (call.arguments | tojson) + '}\n' }}
{%- else %}{{ message.role }}: {{ message.content }}
{% endif %}
{%- endfor %}"""
# As Hermes', which is for requests with tools alone: every tool has a description and arguments.
HERMES = """\
<tools>
{%- for tool in tools %}
{%- for name, schema in tool.function.parameters.properties | items %}{{ name }} {% endfor %}
{{- tool.function.name + ' - ' + tool.function.description }}
{%- endfor %}</tools>
{%- for message in messages %}<{{ message.role }}>{{ message.content }}
{%- for call in message.tool_calls or [] %}<tool_call>
{{ call.function | tojson }}
</tool_call>{% endfor %}
{%- endfor %}"""
# As FunctionGemma's: the declarations, and not what makes it heed them.
FUNCTION_GEMMA = """\
{%- for message in messages %}
{%- if message.role == 'system' %}<developer>{{ message.content }}
{%- elif message.role == 'tool' %}<start_function_response>response:{{ message.name }}{{ message.content }}
{%- else %}<{{ message.role }}>{{ message.content }}
{%- for call in message.tool_calls or [] %}<start_function_call>call:{{ call.function | tojson }}{% endfor %}
{%- endif %}
{%- if loop.first %}{% for tool in tools or [] %}declaration:{{ tool.function.name }};{% endfor %}{% endif %}
{%- endfor %}"""
PLAIN = "{% for message in messages %}<{{ message.role }}>{{ message.content }}{% endfor %}"
# Knows tools, and nothing of calls and results.
HALF = PLAIN + "{{ tools | tojson }}"


def test_a_template_that_knows_tools_is_given_them() -> None:
    prompt = ChatTemplate(QWEN).render(CONVERSATION, tools=TOOLS)
    assert '{"type": "function", "function": {"name": "get_weather", "description": "The weather of a city."' in prompt
    assert '<tool_call>\n{"name": "get_weather", "arguments": {"city": "София", "unit": "C", "days": 3}}' in prompt
    assert "<tool_response>\n18 °C\n</tool_response>" in prompt
    assert "# Tools" not in ChatTemplate(QWEN).render(CONVERSATION)


def test_mistrals_template_is_given_ids_that_it_takes() -> None:
    prompt = ChatTemplate(MISTRAL).render(CONVERSATION, tools=TOOLS)
    (_, call_id) = prompt.split('"id": "')
    assert f"18 °C for {call_id[:9]}[" in prompt
    assert call_id[9] == '"'


def test_calls_come_one_by_one_to_a_template_that_refuses_more_in_a_turn() -> None:
    """Or the answer of a model that made two calls could not be sent back to it."""
    results = [
        Message("tool", "12:30", tool_call_id="call_2", name="get_time"),
        Message("tool", "18 °C", tool_call_id="call_1", name="get_weather"),
    ]
    turns = [Message("user", QUESTION), Message("assistant", "", CALLS), *results, Message("assistant", "Топло.")]
    prompt = ChatTemplate(LLAMA).render([*turns, *turns], tools=TOOLS)
    conversation = (
        f"user: {QUESTION}\n"
        'assistant: {"name": "get_weather", "parameters": {"city": "София", "unit": "C", "days": 3}}\n'
        "tool: 18 °C\n"
        'assistant: {"name": "get_time", "parameters": {}}\n'
        "tool: 12:30\n"
        "assistant: Топло.\n"
    )
    assert prompt.endswith(conversation * 2)
    assert prompt.count("The weather of a city.") == 1
    # Others get them as they are.
    assert ChatTemplate(QWEN).render(turns, tools=TOOLS).count("<|im_start|>assistant") == 3


def test_a_tool_without_a_description_is_told_to_a_template_that_wants_one() -> None:
    bare = Tool("now", "", {"type": "object"})
    prompt = ChatTemplate(PLAIN, tool_source=HERMES).render(CONVERSATION, tools=[*TOOLS, bare])
    assert prompt.startswith(
        "<tools>city unit days get_weather - The weather of a city.zone get_time - The time now.now"
    )


def test_a_template_for_requests_with_tools_is_used_for_these_alone(tmp_path: Path) -> None:
    file = write_tiny_gguf(
        tmp_path / "tiny.gguf", chat_template=PLAIN, metadata={"tokenizer.chat_template.tool_use": HERMES}
    )
    template = ModelCard.read(ModelFile("tiny", file, None, "path", None)).template
    assert template.dialect.name == "hermes"
    system = Message("system", "Накратко.")
    prompt = template.render([system, *CONVERSATION], tools=TOOLS)
    assert prompt.startswith("<tools>city unit days get_weather")
    # It takes a system message, which shows only where there are tools.
    assert f"</tools><system>Накратко.<user>{QUESTION}<assistant>" in prompt
    assert template.render(CONVERSATION[:1]) == f"<user>{QUESTION}"
    assert template.render(CONVERSATION).startswith(f"<user>{QUESTION}<assistant><tool_call>")


def test_functiongemma_is_told_that_it_can_call_where_its_template_does_not_say_so() -> None:
    words = "You are a model that can do function calling with the following functions"
    template = ChatTemplate(FUNCTION_GEMMA)
    assert template.dialect.name == "function-gemma"
    alone = template.render(CONVERSATION, tools=TOOLS)
    assert alone.startswith(f"<developer>{words}declaration:get_weather;declaration:get_time;<user>{QUESTION}")
    instructed = template.render([Message("system", "Накратко."), *CONVERSATION], tools=TOOLS)
    assert instructed.startswith(f"<developer>Накратко.\n{words}declaration:")
    said = template.render([Message("system", words), *CONVERSATION], tools=TOOLS)
    assert said == alone
    assert words not in template.render(CONVERSATION)


@pytest.mark.parametrize("source", [None, PLAIN, HALF])
def test_other_templates_are_given_text(source: str | None) -> None:
    prompt = ChatTemplate(source).render(CONVERSATION, tools=TOOLS)
    assert prompt.count("The weather of a city.") == 1
    assert '<tool_call>\n{"name": "get_weather"' in prompt
    assert "<tool_response>\n18 °C\n</tool_response>" in prompt


def test_what_is_told_is_in_the_users_language_where_the_model_knows_no_words_of_its_own() -> None:
    told = {
        language: ChatTemplate(PLAIN).render(CONVERSATION[:1], tools=TOOLS, language=language)
        for language in (None, "eng_Latn", "bul_Cyrl", "jpn_Jpan", "xxx_Xxxx")
    }
    assert told[None] == told["eng_Latn"] == told["xxx_Xxxx"]
    assert "Available functions" in told[None]
    assert "Налични функции" in told["bul_Cyrl"]
    assert len(set(told.values())) == 3


def test_a_models_own_english_words_give_way_to_the_users_language() -> None:
    template = ChatTemplate("{{ '<tool_call>' if false }}" + PLAIN)
    assert "You may call one or more functions" in template.render(CONVERSATION[:1], tools=TOOLS)
    bulgarian = template.render(CONVERSATION[:1], tools=TOOLS, language="bul_Cyrl")
    assert "You may" not in bulgarian
    assert "Налични функции" in bulgarian


GEMMA = """\
{%- for message in messages %}
{%- if message.role == 'system' %}{{ raise_exception('No!') }}{% endif %}<{{ message.role }}>{{ message.content }}
{%- endfor %}"""


def test_a_folded_system_text_is_parted_from_what_the_user_asks_in_the_users_language() -> None:
    """All in one turn, as TUCAN's evaluator has it."""
    system = Message("system", "Отговаряй кратко.")
    for source in (PLAIN, GEMMA):
        template = ChatTemplate(source)
        alone = template.render(CONVERSATION[:1], tools=TOOLS, language="bul_Cyrl")
        assert "Ти си полезен AI асистент, който предоставя полезни и точни отговори.\n\nИмаш достъп" in alone
        instructed = template.render([system, *CONVERSATION[:1]], tools=TOOLS, language="bul_Cyrl")
        assert "Отговаряй кратко.\n\nИмаш достъп" in instructed
        assert "Ти си полезен" not in instructed
        assert ("\n\n## Потребителска заявка:\n" + QUESTION in alone) == (source == GEMMA)
    greek = ChatTemplate(GEMMA).render(CONVERSATION[:1], tools=TOOLS, language="ell_Grek")
    assert f"\n\n## Αίτημα του χρήστη:\n{QUESTION}" in greek
    # Without tools nothing is said but what was sent.
    assert ChatTemplate(GEMMA).render([system, *CONVERSATION[:1]]) == f"<user>Отговаряй кратко.\n\n{QUESTION}"


def test_a_models_own_words_are_not_parted_from_the_users() -> None:
    template = ChatTemplate("{# <start_of_turn> #}" + GEMMA)
    assert template.dialect.name == "gemma"
    own = template.render(CONVERSATION[:1], tools=TOOLS)
    assert own.endswith(f"\n\n{QUESTION}")
    assert "## User's request:" not in own


def test_earlier_calls_are_text_also_where_there_are_no_tools_any_more() -> None:
    prompt = ChatTemplate(PLAIN).render(CONVERSATION)
    assert "get_weather" in prompt
    assert "18 °C" in prompt
    assert "The weather of a city." not in prompt


def test_the_dialect_is_the_one_that_is_named_before_the_one_of_the_template() -> None:
    assert ChatTemplate(QWEN).dialect.name == "hermes"
    assert ChatTemplate(QWEN, tool_dialect="tucan").dialect.name == "tucan"
    prompt = ChatTemplate(PLAIN, tool_dialect="tucan").render(CONVERSATION, tools=TOOLS)
    assert "## Потребителска заявка:" in prompt


def test_the_catalogue_names_dialects_that_there_are() -> None:
    named = {name: entry.tool_dialect for name, entry in load_catalog().items() if entry.tool_dialect}
    assert named["smollm2-135m-instruct"] == "smollm2"
    assert named["tucan-2.6b"] == "tucan"
    assert set(named.values()) <= set(DIALECTS)


def test_ids_that_mistral_takes_stay_as_they_are() -> None:
    dialect = DIALECTS["mistral"]
    assert dialect.id_of("abcDEF123") == "abcDEF123"
    assert dialect.id_of("call_1") == dialect.id_of("call_1") != dialect.id_of("call_2")
    assert len(dialect.id_of(ToolCall("call_1", "", "").id)) == 9
