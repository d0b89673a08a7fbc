"""Prompts are what the model's own template says, and a stranger's template can do no harm."""

from __future__ import annotations

import time

import pytest

from runtime.chat.template import ChatTemplate, Message
from runtime.chat.tools.call import ToolCall
from runtime.config import ChatTemplateConfig
from runtime.errors import InvalidRequest, ModelFileInvalid

CHATML = (
    "{% for message in messages %}{{'<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n'}}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
# As the Gemma 2 checkpoints ship it, on one line.
GEMMA2 = (
    "{{ bos_token }}{% if messages[0]['role'] == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}"
    "{% for message in messages %}{% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}"
    "{{ raise_exception('Conversation roles must alternate user/assistant/user/assistant/...') }}{% endif %}"
    "{% if (message['role'] == 'assistant') %}{% set role = 'model' %}{% else %}{% set role = message['role'] %}{% endif %}"
    "{{ '<start_of_turn>' + role + '\n' + message['content'] | trim + '<end_of_turn>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{'<start_of_turn>model\n'}}{% endif %}"
)
SYSTEM, USER, ANSWER = Message("system", "Бъди кратък."), Message("user", "Здравей!"), Message("assistant", "Привет.")


def test_methods_of_texts_are_there_within_loops_too() -> None:
    source = (
        "{% for message in messages %}{{ message.content.replace('а', 'о') }}{{ ', '.join(['а', 'б']) }}"
        "{{ message.content.split(' ')[0] }}{% endfor %}"
    )
    assert ChatTemplate(source).render([Message("user", "Да сега")]) == "До сегоа, бДа"


def test_a_template_renders_every_turn_and_opens_the_answer() -> None:
    assert ChatTemplate(CHATML).render([SYSTEM, USER]) == (
        "<|im_start|>system\nБъди кратък.<|im_end|>\n<|im_start|>user\nЗдравей!<|im_end|>\n<|im_start|>assistant\n"
    )


def test_a_template_that_refuses_system_messages_gets_them_in_the_first_user_turn() -> None:
    assert ChatTemplate(GEMMA2, bos_token="<bos>").render([SYSTEM, USER, ANSWER, USER]) == (
        "<bos><start_of_turn>user\nБъди кратък.\n\nЗдравей!<end_of_turn>\n"
        "<start_of_turn>model\nПривет.<end_of_turn>\n<start_of_turn>user\nЗдравей!<end_of_turn>\n<start_of_turn>model\n"
    )


def test_a_template_that_drops_system_messages_without_a_word_gets_them_folded_too() -> None:
    source = "{% for m in messages if m.role != 'system' %}[{{ m.role }}]{{ m.content }}{% endfor %}"
    assert ChatTemplate(source).render([SYSTEM, USER]) == "[user]Бъди кратък.\n\nЗдравей!"


def test_a_model_without_a_template_gets_the_documented_plain_one() -> None:
    template = ChatTemplate(None)
    assert template.render([SYSTEM, USER, ANSWER, USER]) == (
        "Бъди кратък.\n\nUser: Здравей!\nAssistant: Привет.\nUser: Здравей!\nAssistant:"
    )
    assert template.stop == ("\nUser:",)
    assert ChatTemplate(CHATML).stop == ()


def test_what_a_template_refuses_is_the_callers_fault_and_told_in_its_words() -> None:
    with pytest.raises(InvalidRequest, match="roles must alternate") as refused:
        ChatTemplate(GEMMA2).render([USER, USER])
    assert refused.value.param == "messages"


def test_no_messages_and_unknown_roles_are_refused() -> None:
    with pytest.raises(InvalidRequest, match="no messages"):
        ChatTemplate(CHATML).render([])
    with pytest.raises(InvalidRequest, match="'wizard' is not a role"):
        ChatTemplate(CHATML).render([Message("wizard", "x")])


def test_text_of_the_user_is_never_run_as_a_template() -> None:
    assert "{{ 7*7 }}" in ChatTemplate(CHATML).render([Message("user", "{{ 7*7 }}")])


def test_what_the_templates_of_real_models_use_is_there() -> None:
    source = (
        "{% generation %}{% set ns = namespace(found=false) %}{% for m in messages[::-1] %}{% if m.role == 'user' and not"
        " ns.found %}{% set ns.found = true %}{{ m.content.split('!')[0] }}{% continue %}{% endif %}{% endfor %}"
        "{% endgeneration %}|{{ tools is none }}|{{ {'a': 'é', 'b': [1]} | tojson }}|{{ strftime_now('%Y')|length }}|"
        "{{ messages | selectattr('role', 'equalto', 'user') | list | length }}|{{ eos_token }}"
    )
    assert ChatTemplate(source, eos_token="</s>").render([USER]) == 'Здравей|True|{"a": "é", "b": [1]}|4|1|</s>'


@pytest.mark.parametrize(
    "source",
    [
        "{{ ''.__class__.__mro__[1].__subclasses__() }}",
        "{{ messages.__init__.__globals__ }}",
        "{{ raise_exception.__globals__['sys'] }}",
        "{{ self._TemplateReference__context.environment }}",
        "{{ messages.append(1) }}",
        "{{ ('x' | attr)('format') }}",
        "{% include '/etc/passwd' %}",
        "{% import 'os' as os %}",
        "{{ lipsum() }}",
    ],
)
def test_a_template_that_reaches_outside_is_an_error(source: str) -> None:
    with pytest.raises(ModelFileInvalid, match="template"):
        ChatTemplate(source).render([USER])


@pytest.mark.parametrize(
    "source",
    [
        "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}",
        "{% macro f() %}{{ f() }}{{ f() }}{% endmacro %}{{ f() }}",
        "{% set ns = namespace(s='x') %}{% for i in range(60) %}{% set ns.s = ns.s ~ ns.s %}{% endfor %}",
        "{% set ns = namespace(s='x') %}{% for i in range(60) %}{% set ns.s = ns.s + ns.s %}{% endfor %}",
        "{% set ns = namespace(s='x') %}{% for i in range(60) %}{% set ns.s = [ns.s, ns.s] | join %}{% endfor %}",
        "{% set ns = namespace(s='x') %}{% for i in range(60) %}{% set ns.s = ns.s.replace('x', 'xx') %}{% endfor %}",
        "{% set ns = namespace(s=[1]) %}{% for i in range(60) %}{% set ns.s = ns.s + ns.s %}{% endfor %}",
        "{% set ns = namespace(s=9) %}{% for i in range(60) %}{% set ns.s = ns.s * ns.s %}{% endfor %}",
        "{{ 'x' * 1000000000 }}",
        "{{ [1] * 1000000000 }}",
        "{{ 9 ** 9 ** 9 }}",
        "{{ 'x'.center(1000000000) }}",
        "{{ '{:1000000000}'.format(1) }}",
        "{{ '%1000000000d' % 1 }}",
        "{{ 'x' | center(1000000000) }}",
        "{% for i in range(99999) %}{{ 'x' * 1000 }}{% endfor %}",
    ],
)
def test_a_template_that_would_not_end_or_fill_the_memory_is_stopped(source: str) -> None:
    started = time.thread_time()
    with pytest.raises(ModelFileInvalid, match="template"):
        ChatTemplate(source, config=ChatTemplateConfig(max_seconds=0.5)).render([USER])
    assert time.thread_time() - started < 3


def test_a_template_that_does_not_parse_or_is_huge_is_an_error() -> None:
    for source in ("{% for %}", "x" * 1_000_000):
        with pytest.raises(ModelFileInvalid):
            ChatTemplate(source).render([USER])


def test_the_last_answer_is_left_open_where_it_goes_on() -> None:
    cut = Message("assistant", "Бяло, зелено и ")
    assert ChatTemplate(CHATML).render([SYSTEM, USER, cut], opening="last") == (
        "<|im_start|>system\nБъди кратък.<|im_end|>\n<|im_start|>user\nЗдравей!<|im_end|>\n"
        "<|im_start|>assistant\nБяло, зелено и "
    )
    # It trims what is said, and refuses the system message.
    assert ChatTemplate(GEMMA2, bos_token="<bos>").render([SYSTEM, USER, cut], opening="last") == (
        "<bos><start_of_turn>user\nБъди кратък.\n\nЗдравей!<end_of_turn>\n<start_of_turn>model\nБяло, зелено и "
    )
    assert ChatTemplate(None).render([USER, cut], opening="last") == "User: Здравей!\nAssistant: Бяло, зелено и "


def test_an_answer_that_is_said_twice_goes_on_at_its_end() -> None:
    prompt = ChatTemplate(CHATML).render([USER, ANSWER, USER, ANSWER], opening="last")
    assert prompt.count("Привет.") == 2
    assert prompt.endswith("<|im_start|>assistant\nПривет.")


def test_nothing_is_opened_where_that_is_not_wanted() -> None:
    assert ChatTemplate(CHATML).render([USER], opening="none") == "<|im_start|>user\nЗдравей!<|im_end|>\n"


def test_only_an_answer_in_words_that_the_template_shows_can_go_on() -> None:
    called = Message("assistant", "", (ToolCall("1", "look", "{}"),))
    for last in (USER, called):
        with pytest.raises(InvalidRequest, match="Only an answer in words can go on") as refused:
            ChatTemplate(CHATML).render([USER, last], opening="last")
        assert refused.value.param == "continue_final_message"
    deaf = "{% for message in messages if message.role == 'user' %}{{ message.content }}{% endfor %}"
    with pytest.raises(InvalidRequest, match="leaves the last answer out"):
        ChatTemplate(deaf).render([USER, ANSWER], opening="last")
