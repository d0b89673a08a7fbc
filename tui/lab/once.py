"""`demotic lab`: the language lab without a screen."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence
from pathlib import Path

import msgspec

from runtime.chat.reasoning import Piece
from runtime.errors import InvalidRequest
from tui.choosing.sampling import Sampling
from tui.client import ChatClient
from tui.events import Endpoint
from tui.joining import Joined, Server
from tui.lab.card import Card, refuse_existing
from tui.lab.column import Column
from tui.lab.lab import Lab, Order
from tui.lab.page import to_markdown
from tui.lab.saving import card_of, save
from tui.lab.told import result_lines
from tui.lab.trial import Trial
from tui.piping import piped_in, refuse_bytes
from tui.switching import SwitchedServer

# The exit status where a column has no answer.
FAILED = 1


def lab_once(
    prompt: str | None,
    columns: Sequence[Column],
    sampling: Sampling,
    join: Joined | None,
    adapter_dir: Path | None = None,
    *,
    order: Order,
    save_as: Path | None,
    as_json: bool,
) -> int:
    """Ask `columns` and print the card; the exit status is 1 where one failed.

    Without a `prompt` it is what is piped in. `join` is a server that runs already; without it one is started with the
    columns' models, which may be asked for with the adapters of `adapter_dir`.

    Raises:
        InvalidRequest: there is no prompt, too few or too many columns, or a file of the name `save_as`.
        DemoticError: the models cannot be started.
    """
    lab = Lab(columns, sampling=sampling)
    lab.order = order
    text = prompt or piped_in()
    if not text.strip():
        raise InvalidRequest("There is no prompt.", remedy='Give one, as in demotic lab "Name three rivers." …')
    refuse_bytes(text)
    if save_as is not None:
        refuse_existing(save_as)
    references = list(dict.fromkeys(column.model for column in columns))
    server: Server = SwitchedServer(*references, adapter_dir=adapter_dir) if join is None else join
    card = asyncio.run(_ask(lab, text, server, references if join is None else None))
    print(card.to_json() if as_json else to_markdown(card), end="", flush=True)  # noqa: T201
    if save_as is not None:
        _tell(f"Written to {' and '.join(map(str, save(card, save_as)))}.")
    return FAILED if any(column.state == "failed" for column in card.columns) else 0


async def _ask(lab: Lab, prompt: str, server: Server, references: Sequence[str] | None) -> Card:
    """`references`: the models that the server was started with, which it may call otherwise."""

    async def on_change(trial: Trial) -> None:
        if trial.is_over and trial not in ended:
            ended.append(trial)
            told = ", ".join(result_lines(trial)) if not trial.fault else trial.fault
            _tell(f"[{lab.trials.index(trial) + 1}/{len(lab.trials)} {trial.column.model}: {told}]")

    async def on_piece(_trial: Trial, _piece: Piece) -> None:
        pass

    ended: list[Trial] = []
    async with server:
        endpoint = await server.endpoint()
        for notice in endpoint.notices:
            _tell(notice)
        if references is not None:
            names = await _names(endpoint, references)
            lab.columns = [msgspec.structs.replace(column, model=names[column.model]) for column in lab.columns]
        lab.ask(prompt)
        await lab.run(endpoint, on_change, on_piece)
        return await card_of(lab, endpoint, is_own=references is not None)


async def _names(endpoint: Endpoint, references: Sequence[str]) -> dict[str, str]:
    """What the server calls the models that it was started with: it lists them in that order."""
    async with ChatClient(endpoint) as client:
        names = [model.id for model in await client.models() if model.parent is None]
    if len(names) != len(references):
        raise InvalidRequest(
            f"Two of these models have the same name: {', '.join(references)}.", remedy="Name each model once."
        )
    return dict(zip(references, names, strict=True))


def _tell(line: str) -> None:
    print(line, file=sys.stderr, flush=True)  # noqa: T201
