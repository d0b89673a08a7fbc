"""`demotic serve`: the HTTP endpoint, until it is told to stop."""

from __future__ import annotations

import asyncio
import dataclasses
import logging
import signal
import socket
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractContextManager, asynccontextmanager, nullcontext, suppress
from pathlib import Path
from types import FrameType

from runtime.api.access_log import AccessLog
from runtime.api.app import create_app
from runtime.api.server import DrainingServer
from runtime.api.tool_runs import ServerTools
from runtime.card import ModelCard
from runtime.chat.tools.approval import Approval
from runtime.chat.tools.dialects.registry import DIALECTS
from runtime.chat.tools.settings import ToolSettings
from runtime.chat.tools.toolbox import open_toolbox
from runtime.commands.access import check_origins, gather_keys, is_open
from runtime.commands.listening import bind, url_of
from runtime.commands.notice import tell_licence
from runtime.commands.progress import progress_for
from runtime.config import EngineConfig, PoolConfig, ServerConfig
from runtime.engine.loader import WorkerLoader
from runtime.engine.pool import ModelPool
from runtime.engine.prefix_files import prepare
from runtime.errors import Cancelled, ConfigurationInvalid
from runtime.language.route import Routes
from runtime.models.adapter import AdapterFiles
from runtime.models.store import ModelFile, Store


def serve(
    references: Sequence[str],
    *,
    config: ServerConfig,
    api_keys: Sequence[str],
    api_key_file: Path | None,
    insecure: bool,
    access_log: str | None,
    log_prompts: bool,
    adapters: Sequence[str],
    adapter_dir: Path | None,
    tool_dialects: Sequence[str],
    prefix_cache_dir: Path | None,
    context: int | None,
    max_answer: int | None,
    routes: Path | None,
    pool_config: PoolConfig,
    tools: ToolSettings | None,
) -> None:
    """Serve the models of `references` (none: the default model) as `config` says; port 0 is any free one."""
    logging.basicConfig(format="demotic: %(message)s", level=logging.WARNING)
    keys = gather_keys(api_keys, api_key_file)
    check_origins(config.cors_origins, has_keys=bool(keys))
    limits = EngineConfig(max_answer=max_answer)
    if prefix_cache_dir is not None:
        prepare(prefix_cache_dir)
    if context is not None:
        limits = dataclasses.replace(limits, max_context=context)
    store = Store()
    cards: dict[str, ModelCard] = {}
    for reference in references or [store.default_name()]:
        # A file that cannot be run is told of now, also where it is loaded only when it is asked for.
        card = ModelCard.read(store.resolve(reference, progress=progress_for(as_json=False)))
        tell_licence(store, card.file)
        if card.bundle is not None and card.bundle.adapter is not None:
            card.check_adapter(card.bundle.adapter)
        cards[card.name] = card
    for name, dialect in _read_dialects(tool_dialects, cards).items():
        cards[name] = ModelCard(dataclasses.replace(cards[name].file, tool_dialect=dialect), cards[name].header)
    files = {name: card.file for name, card in cards.items()}
    shelf = AdapterFiles(_read_adapters(adapters, cards), _checked_folder(adapter_dir))
    if log_prompts and access_log is None:
        raise ConfigurationInvalid("There is no log that prompts could go into.", remedy="Name one with --access-log.")
    with bind(config.host, config.port) as listener, _open_log(access_log, log_prompts=log_prompts) as log:
        reachable = is_open(listener.getsockname()[:2], has_keys=bool(keys), insecure=insecure)
        loader = WorkerLoader(files, limits, adapters=shelf, prefix_dir=prefix_cache_dir)
        waiting, shares = limits.max_waiting, _shares(files)
        pool = ModelPool(list(files), loader, pool_config, max_waiting=waiting, cards=cards, shares=shares)
        table = None if routes is None else _read_routes(routes, pool)
        asyncio.run(_serve(listener, pool, dataclasses.replace(config, is_open=reachable), keys, log, table, tools))


def _shares(files: Mapping[str, ModelFile]) -> dict[str, str]:
    """Which bundles are names for another one's process: of those with one file the model itself, or the first."""
    owners: dict[Path, str] = {}
    # A model that is no bundle comes first: its name is the one that the process should have.
    for name, file in sorted(files.items(), key=lambda item: item[1].bundle is not None):
        owners.setdefault(file.path.resolve(), name)
    of_bundles = {name: owners[file.path.resolve()] for name, file in files.items() if file.bundle is not None}
    return {name: owner for name, owner in of_bundles.items() if owner != name}


def _read_dialects(texts: Sequence[str], cards: Mapping[str, ModelCard]) -> dict[str, str]:
    """The dialects of calls by models, from texts "MODEL=DIALECT" or, for the first model, "DIALECT".

    Raises:
        ConfigurationInvalid: there is no such dialect, or it is for a model that is not served.
    """
    dialects: dict[str, str] = {}
    for text in texts:
        model, equals, dialect = text.rpartition("=")
        model = model if equals else next(iter(cards))
        if dialect not in DIALECTS:
            raise ConfigurationInvalid(
                f"There is no dialect of calls named '{dialect}'.", remedy=f"There are {', '.join(DIALECTS)}."
            )
        if model not in cards:
            raise _not_served(text, model, cards)
        dialects[model] = dialect
    return dialects


def _read_adapters(texts: Sequence[str], cards: Mapping[str, ModelCard]) -> dict[str, dict[str, Path]]:
    """The adapters of each model, from texts "MODEL:NAME=FILE" or, for the first model, "NAME=FILE".

    Raises:
        ConfigurationInvalid: a text is neither, or names a model that is not served.
        ModelFileInvalid: a file is no LoRA for its model.
    """
    adapters: dict[str, dict[str, Path]] = {name: {} for name in cards}
    for text in texts:
        target, equals, file = text.partition("=")
        model, colon, name = target.rpartition(":")
        if not (equals and name and file):
            raise ConfigurationInvalid(f"'{text}' names no adapter.", remedy="Write NAME=FILE or MODEL:NAME=FILE.")
        model = model if colon else next(iter(cards))
        if model not in cards:
            raise _not_served(text, model, cards)
        if cards[model].bundle is not None:
            raise ConfigurationInvalid(
                f"'{text}' is for the bundle '{model}', which has its own or none.",
                remedy="Serve its base as well and give it the adapter, or make a bundle of it.",
            )
        cards[model].check_adapter(Path(file))
        adapters[model][name] = Path(file)
    return adapters


def _not_served(text: str, model: str, cards: Mapping[str, ModelCard]) -> ConfigurationInvalid:
    return ConfigurationInvalid(
        f"'{text}' is for the model '{model}', which is not served.", remedy=f"Served are {', '.join(cards)}."
    )


def _read_routes(path: Path, pool: ModelPool) -> Routes:
    """The models by language in the file at `path`.

    Raises:
        ConfigurationInvalid: it cannot be read, or names a model or an adapter that is not served.
    """
    routes = Routes.read(path)
    for target in routes.targets:
        model, adapter = pool.split(target)
        if model not in pool.names or (adapter is not None and adapter not in pool.adapters(model)):
            raise ConfigurationInvalid(
                f"{path} routes to '{target}', which is not served.", remedy=f"Served are {', '.join(pool.names)}."
            )
    return routes


def _checked_folder(folder: Path | None) -> Path | None:
    if folder is not None and not folder.is_dir():
        raise ConfigurationInvalid(f"{folder} is not a folder.", remedy="Give --adapter-dir a folder of GGUF files.")
    return folder


def _open_log(target: str | None, *, log_prompts: bool) -> AbstractContextManager[AccessLog | None]:
    return nullcontext() if target is None else AccessLog(target, log_prompts=log_prompts)


async def _serve(
    listener: socket.socket,
    pool: ModelPool,
    config: ServerConfig,
    api_keys: tuple[str, ...],
    access_log: AccessLog | None,
    routes: Routes | None,
    settings: ToolSettings | None,
) -> None:
    async with nullcontext() if settings is None else _open_tools(settings) as tools:
        app = create_app(pool, config, api_keys, access_log, routes, tools)
        server = DrainingServer(app, pool, drain_seconds=config.shutdown_seconds)
        await _run(listener, pool, server)


@asynccontextmanager
async def _open_tools(settings: ToolSettings) -> AsyncIterator[ServerTools]:
    """The tools of a file, for requests that want them run.

    Raises:
        ToolServerFailed: a server of tools cannot be used.
        ConfigurationInvalid: none of them may run, since none is approved.
    """
    async with open_toolbox(settings) as toolbox:
        tools = ServerTools(toolbox, Approval(settings.approve, read_only_is_free=settings.approve_read_only))
        if not tools.tools:
            raise ConfigurationInvalid(
                "No tool may run: none is approved, and nobody is there to ask.",
                remedy=f"Name some as approve = [...] in the file of tools: {', '.join(toolbox.offered)}.",
            )
        yield tools


async def _run(listener: socket.socket, pool: ModelPool, server: DrainingServer) -> None:

    def on_stop(_signal: int, _frame: FrameType | None) -> None:
        server.should_exit = True

    # uvicorn takes these over once it runs, shuts down in order, and raises them again at the end: being asked to stop
    # is no fault, so they must not end the process in their own way then, nor be lost before.
    for stop in (signal.SIGINT, signal.SIGTERM):
        signal.signal(stop, on_stop)
    # It answers while the models are loaded: /health tells how far that is, and other requests wait for it.
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    loading = asyncio.create_task(pool.preload())
    port = listener.getsockname()[1]
    print(f"demotic loads {pool.names[0]}; port {port} tells how far that is", file=sys.stderr)  # noqa: T201
    await asyncio.wait({serving, loading}, return_when=asyncio.FIRST_COMPLETED)
    if loading.done() and loading.exception() is None:
        print(f"demotic serves {', '.join(pool.names)} at {url_of(listener)}/v1 (Ctrl-C stops it)", file=sys.stderr)  # noqa: T201
    elif loading.done():
        server.should_exit = True
    await serving
    await pool.close()
    with suppress(Cancelled):  # the server was stopped while it was loading: no fault
        await loading
