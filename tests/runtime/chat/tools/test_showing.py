"""What a person is shown of a call, before it may run and after."""

from __future__ import annotations

from runtime.chat.tools.call import Change, ToolCall
from runtime.chat.tools.loop import CallAsked, CallEnded
from runtime.chat.tools.showing import described, lines_of, printable


def test_what_a_terminal_would_obey_is_not_shown_and_letters_are() -> None:
    assert printable("a\x1b[2Jb\nc\x9bd\u202ee") == "a\ufffd[2Jb\ufffdc\ufffdd\ufffde"
    for text in ("здравей, свят 👋", "می\u200cخواهم", "क्\u200dष"):
        assert printable(text) == text
    assert len(printable("x" * 10_000)) < 2100
    assert len(printable("x" * 10_000, None)) == 10_000


def test_a_call_is_one_line_in_its_own_script() -> None:
    call = ToolCall("c", "send", '{\n"text": "здравей\\u001b[2J"}')
    assert described(call) == 'send {"text": "здравей\\u001b[2J"}'


def test_what_becomes_of_a_call_is_told_in_lines() -> None:
    call = ToolCall("c", "weather", '{"city": "Sofia"}', (Change("/city", "София", "Sofia", "transliteration"),))
    asked = CallAsked(call)
    assert lines_of(asked) == ['[weather {"city": "Sofia"}]', '[/city: "София" -> "Sofia" (transliteration)]']
    assert lines_of(CallEnded(asked, "answered", "18 °C", 0.25)) == ["[answered with 5 characters after 0.25 s]"]
    assert lines_of(CallEnded(asked, "failed", "няма\x1b такъв град")) == ["[failed: няма\ufffd такъв град]"]
    assert lines_of(CallEnded(asked, "denied")) == ["[denied]"]
