"""What a person is shown of a call before it may run."""

from __future__ import annotations

from runtime.chat.tools.call import ToolCall
from runtime.commands.asking import described, printable


def test_what_a_terminal_would_obey_is_not_shown_and_letters_are() -> None:
    assert printable("a\x1b[2Jb\nc\x9bd\u202ee") == "a\ufffd[2Jb\ufffdc\ufffdd\ufffde"
    for text in ("здравей, свят 👋", "می\u200cخواهم", "क्\u200dष"):
        assert printable(text) == text
    assert len(printable("x" * 10_000)) < 2100


def test_a_call_is_one_line_in_its_own_script() -> None:
    call = ToolCall("c", "send", '{\n"text": "здравей\\u001b[2J"}')
    assert described(call) == 'send {"text": "здравей\\u001b[2J"}'
