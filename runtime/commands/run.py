"""`demotic run`: one answer on standard output, its figures on standard error."""

from __future__ import annotations

import dataclasses
import json
import os
import stat
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, cast

import msgspec

from runtime.answer import Answer
from runtime.card import ModelCard, Options, with_defaults
from runtime.chat.template import Message
from runtime.commands.interrupt import INTERRUPTED, Interrupt
from runtime.commands.notice import tell_licence
from runtime.commands.progress import progress_for
from runtime.config import EngineConfig, RunConfig
from runtime.engine.messages import Between, Delta, Finished, Generate
from runtime.errors import InvalidRequest, ModelNotFound
from runtime.model import start
from runtime.models.catalog import load_catalog
from runtime.models.name import parse_reference
from runtime.models.store import Store

if TYPE_CHECKING:
    import typer

    from runtime.commands.run_tools import ToolWish

# What an answer gets where neither the person nor a bundle says anything.
_DEFAULTS = Options(max_tokens=RunConfig.max_tokens, temperature=RunConfig.temperature, top_p=RunConfig.top_p)


def said(call: typer.Context, given: Mapping[str, object]) -> Options:
    """Those of the options `given` that were typed: the others are left to the model's bundle, or to `_DEFAULTS`."""
    sources = {name: call.get_parameter_source(name) for name in given}
    typed = {name for name, source in sources.items() if source is not None and source.name != "DEFAULT"}
    return cast("Options", {name: value for name, value in given.items() if name in typed})


def run(
    model: str | None,
    prompt: str | None,
    *,
    system: str | None,
    adapter: Path | None,
    context: int | None,
    as_json: bool,
    options: Options,
    tools: ToolWish | None = None,
) -> int:
    """Answer `prompt`, or what standard input holds, with `tools` where there are any.

    The exit status is 130 where Ctrl-C cut the answer short, and 3 where a tool was denied that nobody approved.
    """
    store = Store()
    if prompt is None and model is not None and not _is_model(model, store):
        model, prompt = None, model
    prompt = _with_standard_input(prompt)
    started = time.perf_counter()
    card = ModelCard.read(store.resolve(model, progress=progress_for(as_json=as_json)))
    tell_licence(store, card.file)
    options = with_defaults(with_defaults(options, card.defaults), _DEFAULTS)
    if tools is not None:
        from runtime.commands.run_tools import run_with_tools

        return run_with_tools(
            card, _messages(prompt, system), tools, adapter=adapter, context=context, as_json=as_json, options=options
        )
    request = _request(card, prompt, system, options)
    with (
        Interrupt() as interrupt,
        start(card, _limits(request, context), lambda _share: not interrupt.is_set) as loaded,
    ):
        if adapter is not None:
            request = msgspec.structs.replace(request, adapter=loaded.attach(adapter))
        load_seconds = time.perf_counter() - started
        interrupt.on_interrupt = lambda: loaded.client.abort(request.request_id)
        events = loaded.events(request)
        answer = Answer.from_events(events if as_json else _shown(events))
    if as_json:
        print(json.dumps(_to_json(card, answer, load_seconds), ensure_ascii=False))  # noqa: T201
    else:
        print(flush=True)  # noqa: T201
        print(_figures(answer, is_locked=request.lock is not None), file=sys.stderr)  # noqa: T201
    return INTERRUPTED if answer.finish_reason == "cancelled" else 0


def _is_model(text: str, store: Store) -> bool:
    """Whether the only word on the command line names a model, and is not the prompt."""
    try:
        parse_reference(text, [*load_catalog(), *(installed.name for installed in store.installed())])
    except ModelNotFound as error:
        if error.nearest or _has_standard_input():
            raise
        return False
    return True


def _with_standard_input(prompt: str | None) -> str:
    """The prompt, with what is piped in after it.

    Raises:
        InvalidRequest: there is neither.
    """
    if _has_standard_input():
        piped = sys.stdin.read().rstrip("\n")
        prompt = "\n\n".join(text for text in (prompt, piped) if text)
    if not prompt:
        raise InvalidRequest("There is no prompt.", remedy='Give one: demotic run "Tell me a story", or pipe one in.')
    return prompt


def _has_standard_input() -> bool:
    """Whether something was piped or redirected in; a terminal, /dev/null and a closed input are not read."""
    try:
        mode = os.fstat(sys.stdin.fileno()).st_mode
    except (AttributeError, OSError, ValueError):
        return False
    return stat.S_ISFIFO(mode) or stat.S_ISREG(mode)


def _limits(request: Generate, context: int | None) -> EngineConfig:
    """Limits for one request: clearing a KV cache that it can never fill would take longer than loading the model."""
    default = EngineConfig()
    # A token stands for a byte at least, so this is enough for the prompt and what a tokenizer puts before it.
    match request.prompt:
        case str() as text:
            length = len(text.encode(errors="replace"))
        case Between() as between:
            length = len(between.text.encode(errors="replace"))
        case tokens:
            length = len(tokens)
    enough = length + 8 + (request.max_tokens or default.max_context)
    return dataclasses.replace(default, max_context=context or min(enough, default.max_context), max_sequences=1)


def _request(card: ModelCard, prompt: str, system: str | None, options: Options) -> Generate:
    if not card.is_chat:
        if system is not None:
            what = "an encoder-decoder: it reads one text" if card.has_encoder else "a base model: it continues texts"
            raise InvalidRequest(
                f"{card.name} is {what} and knows no system message.",
                remedy="Leave --system out, or choose a chat model.",
            )
        return card.completion_request(prompt, **options)
    return card.chat_request(_messages(prompt, system), **options)


def _messages(prompt: str, system: str | None) -> list[Message]:
    turn = Message("user", prompt)
    return [turn] if system is None else [Message("system", system), turn]


def _shown(events: Iterator[Delta | Finished]) -> Iterator[Delta | Finished]:
    for event in events:
        if isinstance(event, Delta):
            sys.stdout.write(event.text)
            sys.stdout.flush()
        yield event


def _figures(answer: Answer, *, is_locked: bool) -> str:
    ending = {"stop": "", "length": ", cut at the length limit", "cancelled": ", stopped"}[answer.finish_reason]
    return (
        f"[{answer.prompt_tokens} prompt and {answer.completion_tokens} generated tokens{ending}; "
        f"{answer.tokens_per_second:.1f} tokens/s, {answer.characters_per_second:.1f} characters/s, "
        f"first token after {answer.first_token_seconds:.2f} s{_language(answer) if is_locked else ''}]"
    )


def _language(answer: Answer) -> str:
    found = answer.detected.language or "no language"
    return f"; in {found}, {answer.blocked_tokens} foreign tokens blocked"


def _to_json(card: ModelCard, answer: Answer, load_seconds: float) -> dict[str, object]:
    return {
        "model": card.name,
        "text": answer.text,
        "finish_reason": answer.finish_reason,
        "prompt_tokens": answer.prompt_tokens,
        "completion_tokens": answer.completion_tokens,
        "drafted_tokens": answer.drafted_tokens,
        "accepted_tokens": answer.accepted_tokens,
        "blocked_tokens": answer.blocked_tokens,
        "tokens_per_second": round(answer.tokens_per_second, 2),
        "characters_per_second": round(answer.characters_per_second, 2),
        "first_token_seconds": round(answer.first_token_seconds, 4),
        "decode_seconds": round(answer.decode_seconds, 4),
        "load_seconds": round(load_seconds, 4),
    }
