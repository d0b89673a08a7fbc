"""What endpoints say when they refuse: several shapes, of which one sentence for people is made."""

from __future__ import annotations

import msgspec

from tui.events import AnswerFailed
from tui.keynames import with_keys
from tui.shapes import Error, Refusal
from tui.words import _, mark

# How others than OpenAI tell that a conversation does not fit: llama-server by a type, vLLM by a sentence.
_OVERFLOW_TYPE = "exceed_context_size_error"
_OVERFLOW_SENTENCE = "maximum context length"
_MAX_SENTENCE = 500

OVERFLOW = "context_length_exceeded"
_NEXT_STEPS = {
    OVERFLOW: mark("{new} starts a new conversation."),
    "server_unreachable": mark("{quit} quits; then start the chat again."),
}
_ANOTHER_STEP = mark("Say it again, or say something else.")


def refused(status: int, body: bytes) -> AnswerFailed:
    """An answer with a status other than success, as a sentence."""
    try:
        found = msgspec.json.decode(body, type=Refusal)
    except msgspec.DecodeError:
        found = Refusal()
    error = found.error if found.error is not None else Error(found.message, found.code, found.type)
    if isinstance(error, Error) and not error.message and isinstance(found.detail, str):
        error = Error(found.detail)
    told = fault_in(error)
    if told.message:
        return told
    if status in {401, 403}:
        return AnswerFailed(_("The server wants another API key."), "invalid_api_key")
    return AnswerFailed(_("The model's server answered with status {status}.").format(status=status))


def fault_in(error: Error | str) -> AnswerFailed:
    """An error as an endpoint words it; without any words where it has none."""
    if isinstance(error, str):
        error = Error(error)
    code = error.code if isinstance(error.code, str) else None
    if error.type == _OVERFLOW_TYPE or _OVERFLOW_SENTENCE in error.message:
        code = OVERFLOW
    return AnswerFailed(error.message[:_MAX_SENTENCE], code)


def next_step(fault: AnswerFailed) -> str:
    """What the person can do after an answer that failed."""
    return with_keys(_(_NEXT_STEPS.get(fault.code or "", _ANOTHER_STEP)))
