"""One job on a loaded model: its requests handed over together, and what came of each."""

from __future__ import annotations

import queue
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import msgspec

from benchmarks.load import passage
from runtime.commands.interrupt import Interrupt
from runtime.engine.messages import Delta, Event, Failed, Finished, Generate
from runtime.engine.statistics import Spent
from runtime.model import Model


@dataclass
class Answered:
    """What came of one request; times are seconds from handing over the job, `first` and `end` those of its tokens."""

    num_prompt: int = 0
    num_cached: int = 0
    num_output: int = 0
    num_characters: int = 0
    first: float = 0.0
    end: float = 0.0
    pieces: list[float] = field(default_factory=list)

    @property
    def gaps(self) -> list[float]:
        """Seconds between two pieces of text."""
        return [end - start for start, end in pairwise(self.pieces)]


@dataclass(frozen=True)
class Sample:
    """One job, done once: `spent` tells apart where the engine's part of the seconds went."""

    answers: tuple[Answered, ...]
    seconds: float
    spent: Spent
    joules: dict[str, float] = field(default_factory=dict)


def prompt_of(model: Model, num_tokens: int, seed: int) -> str:
    """The longest new text of at most `num_tokens` tokens, or one of one word."""
    low, high = 1, num_tokens
    while low < high:
        middle = (low + high + 1) // 2
        if len(model.tokenize(passage(middle, seed))) <= num_tokens:
            low = middle
        else:
            high = middle - 1
    return passage(low, seed)


def ask_together(model: Model, prompts: Sequence[str], num_output: int, interrupt: Interrupt) -> Sample | None:
    """Continue all prompts at once, greedily, by exactly so many tokens; None where Ctrl-C came.

    Raises:
        DemoticError: one of the requests failed.
    """
    requests = [request_of(model, prompt, num_output) for prompt in prompts]
    places = {request.request_id: place for place, request in enumerate(requests)}
    events: queue.SimpleQueue[tuple[float, Event]] = queue.SimpleQueue()

    def abort() -> None:
        for request in requests:
            model.client.abort(request.request_id)

    interrupt.on_interrupt = abort
    if interrupt.is_set:
        return None
    answers = [Answered() for _ in requests]
    before = model.client.statistics.spent
    started = time.perf_counter()
    for request in requests:
        model.client.submit(request, lambda event: events.put((time.perf_counter(), event)))
    num_left = len(requests)
    is_cut = False
    while num_left:
        at, event = events.get()
        match event:
            case Delta(request_id=name, text=text):
                answers[places[name]].pieces.append(at - started)
                answers[places[name]].num_characters += len(text)
            case Finished():
                num_left -= 1
                is_cut = is_cut or event.reason == "cancelled"
                _note_end(answers[places[event.request_id]], event, at - started)
            case Failed():
                abort()
                raise event.error
    seconds = max(answer.end for answer in answers)
    return None if is_cut else Sample(tuple(answers), seconds, difference(model.client.statistics.spent, before))


def request_of(model: Model, prompt: str, num_output: int) -> Generate:
    """The request to continue `prompt`, greedily, by exactly so many tokens."""
    request = model.card.completion_request(prompt, max_tokens=num_output, temperature=0.0)
    # The same work on all machines: no answer ends by itself.
    return model.card.as_trained(request, {"min_tokens": num_output})


def _note_end(answer: Answered, event: Finished, end: float) -> None:
    answer.num_prompt = event.usage.prompt_tokens
    answer.num_cached = event.usage.cached_tokens
    answer.num_output = event.usage.completion_tokens
    # All but what came after the first token: so the time before the engine's clock is in it.
    answer.first = end - event.timings.decode
    answer.end = end


def difference(after: Spent, before: Spent) -> Spent:
    """What was spent between two moments."""
    values = zip(msgspec.structs.astuple(after), msgspec.structs.astuple(before), strict=True)
    return Spent(*(late - early for late, early in values))
