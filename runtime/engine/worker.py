"""What a model's own process runs: commands from its standard input, events to what was its standard output.

`python -P -m runtime.engine.worker`; `runtime/engine/remote.py` starts it. It ends with a `Shutdown`, or at once when
its standard input is closed, which the kernel does when the parent dies, however that happens.
"""

from __future__ import annotations

import logging
import os
import queue
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

from runtime.backends.base import Decoder
from runtime.backends.load import LoadedDecoder, LoadedEncoder, load_decoder, load_encoder
from runtime.engine.encoding import EncodingEngine
from runtime.engine.engine import Engine
from runtime.engine.frames import read_frames, to_frame, write_all
from runtime.engine.loop import AnyEngine, Emit, EngineLoop, Inbox, Wake
from runtime.engine.messages import (
    LOADING,
    NATIVE_PREFIX,
    Command,
    Failed,
    Load,
    Progress,
    Pulse,
    Ready,
    WorkerEvent,
)
from runtime.engine.packing import decode_command, encode
from runtime.engine.prefix_store import PrefixStore, file_hash
from runtime.errors import DemoticError, ModelLoadFailed

_INPUT, _OUTPUT, _ERRORS = 0, 1, 2
_PROGRESS_STEP = 0.01
_PULSE_SECONDS = 1.0
_log = logging.getLogger("demotic.engine")


def main() -> None:
    """Serve one model until told to stop."""
    # Both are the parent's to answer: it drains what runs and then says `Shutdown`. Terminals and service managers
    # send them to every process of the program.
    for ignored in (signal.SIGINT, signal.SIGTERM):
        signal.signal(ignored, signal.SIG_IGN)
    commands, outbox = _take_streams()
    emit = outbox.send
    _set_up_log()
    load = next(commands)
    if not isinstance(load, Load):
        raise TypeError(f"the first command is {type(load).__name__}, not Load")
    inbox: Inbox = queue.SimpleQueue()
    # Runs while the model is loaded, too: then already the parent may die.
    threading.Thread(target=_receive, args=(commands, inbox), daemon=True).start()
    try:
        loaded, store = _load(load, emit)
    except DemoticError as error:
        emit(Failed(LOADING, error))
        return
    loop = EngineLoop(
        lambda emit, wake: _make_engine(load, loaded, store, emit, wake),
        inbox,
        outbox.add,
        outbox.flush,
    )
    emit(Ready(loop.engine.context_length, loaded.tokenizer.vocabulary_size, loaded.plan))
    is_over = threading.Event()
    pulse = threading.Thread(target=_pulse, args=(loop, emit, is_over), daemon=True)
    pulse.start()
    loop.run()
    is_over.set()
    pulse.join()
    loaded.close()
    if loop.fault is not None:
        sys.exit(str(loop.fault))


def _make_engine(
    load: Load, loaded: LoadedDecoder | LoadedEncoder, store: PrefixStore | None, emit: Emit, wake: Wake
) -> AnyEngine:
    if isinstance(loaded, LoadedDecoder):
        return Engine(
            loaded.decoder,
            loaded.tokenizer,
            max_waiting=load.max_waiting,
            max_draft=load.max_draft,
            max_answer=load.max_answer,
            store=store,
            emit=emit,
            wake=wake,
        )
    assert load.encoding is not None  # noqa: S101  # without it a decoder was loaded
    return EncodingEngine(loaded.encoder, loaded.tokenizer, load.encoding, max_waiting=load.max_waiting, emit=emit)


class Outbox:
    """Events on their way to the parent: those of one step go in one write, for each write wakes the parent."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._frames = bytearray()
        self._lock = threading.Lock()

    def add(self, event: WorkerEvent) -> None:
        """Put `event` behind those that wait for the next `flush`."""
        frame = to_frame(encode(event))
        with self._lock:
            self._frames += frame

    def flush(self) -> None:
        """Write what waits, if anything does."""
        with self._lock:
            if self._frames:
                frames, self._frames = self._frames, bytearray()
                write_all(self._fd, frames)

    def send(self, event: WorkerEvent) -> None:
        """Write `event` now, behind what waits."""
        self.add(event)
        self.flush()


def _take_streams() -> tuple[Iterator[Command], Outbox]:
    """The two pipes, out of reach of native code: what it prints goes to standard error, what it reads is empty."""
    commands, events = os.dup(_INPUT), os.dup(_OUTPUT)
    os.dup2(_ERRORS, _OUTPUT)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, _INPUT)
    os.close(nothing)
    return map(decode_command, read_frames(commands)), Outbox(events)


def _set_up_log() -> None:
    """Everything to standard error, which the parent shows; llama.cpp's lines marked, which it only keeps."""
    logging.basicConfig(format="%(message)s", level=logging.WARNING, stream=sys.stderr)
    native = logging.StreamHandler(sys.stderr)
    native.setFormatter(logging.Formatter(f"{NATIVE_PREFIX}%(message)s"))
    log = logging.getLogger("demotic.llama")
    log.addHandler(native)
    log.setLevel(logging.ERROR)
    log.propagate = False


def _receive(commands: Iterator[Command], inbox: Inbox) -> None:
    try:
        for command in commands:
            if isinstance(command, Load):
                raise TypeError("a second Load came")
            inbox.put(command)
    except Exception:  # noqa: BLE001  # without its commands the process is of no use
        _log.exception("the worker could not read its commands")
        os._exit(1)
    # The parent has gone. There is nobody to answer, and the main thread may be in native code for long.
    os._exit(0)


def _load(load: Load, emit: Callable[[WorkerEvent], None]) -> tuple[LoadedDecoder | LoadedEncoder, PrefixStore | None]:
    """The model, and where its prefixes are saved; for that its file is hashed, which counts as half of the loading."""
    path = Path(os.fsdecode(load.path))
    told = 0.0

    def tell(share: float) -> bool:
        nonlocal told
        if share >= told + _PROGRESS_STEP or share == 1.0:
            emit(Progress(share))
            told = share
        return True

    if load.encoding is not None:
        return load_encoder(path, load.plan, load.encoding, progress=tell), None
    if load.prefix_dir is None:
        return load_decoder(path, load.plan, progress=tell), None
    num_read = 0

    def on_read(num_bytes: int) -> None:
        nonlocal num_read
        num_read += num_bytes
        tell(num_read / size / 2)

    try:
        size = path.stat().st_size
        model_hash = file_hash(path, on_read)
    except OSError as fault:
        raise ModelLoadFailed(f"{path} cannot be read: {fault.strerror}.") from fault
    loaded = load_decoder(path, load.plan, progress=lambda share: tell(0.5 + share / 2))
    return loaded, _open_store(Path(os.fsdecode(load.prefix_dir)), model_hash, loaded.decoder)


def _open_store(folder: Path, model_hash: bytes, decoder: Decoder) -> PrefixStore | None:
    if decoder.state_format is None:
        why = "answers depend on sources" if decoder.sources else "the attention window of this model is too short"
        _log.warning("no prefixes are saved: %s", why)
        return None
    try:
        return PrefixStore(folder, f"{model_hash.hex()} {decoder.state_format}")
    except OSError as fault:
        _log.warning("no prefixes are saved: %s", fault)
        return None


def _pulse(loop: EngineLoop, emit: Callable[[WorkerEvent], None], is_over: threading.Event) -> None:
    def beat() -> None:
        emit(Pulse(loop.step_seconds, loop.engine.statistics))

    beat()
    while not is_over.wait(_PULSE_SECONDS):
        beat()
    # What was done since the one before is counted too.
    beat()


if __name__ == "__main__":
    main()
