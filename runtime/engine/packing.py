"""Messages as bytes, and back: msgpack, with errors as the names of their classes and their fields."""

from __future__ import annotations

from typing import Any

import msgspec

from runtime.engine.messages import Command, WorkerEvent
from runtime.errors import DemoticError, InvalidRequest


def encode(message: Command | WorkerEvent) -> bytes:
    """`message` as msgpack.

    Raises:
        InvalidRequest: it has text that is not Unicode, or a number beyond 64 bits.
    """
    try:
        return _ENCODER.encode(message)
    except UnicodeEncodeError as fault:
        raise InvalidRequest(
            f"The text has a lone surrogate at character {fault.start}, which is not a character.",
            remedy="Send valid Unicode.",
        ) from fault
    except OverflowError as fault:
        raise InvalidRequest("The request has a number beyond 64 bits.") from fault


def decode_command(data: bytes) -> Command:
    """The command in `data`.

    Raises:
        msgspec.MsgspecError: it holds none.
    """
    return _COMMANDS.decode(data)


def decode_event(data: bytes) -> WorkerEvent:
    """The event in `data`. Raises as `decode_command` does."""
    return _EVENTS.decode(data)


def _to_plain(value: object) -> dict[str, Any]:
    if not isinstance(value, DemoticError):
        raise NotImplementedError(f"{type(value)} is not of the vocabulary")
    return {"kind": type(value).__name__, "fields": vars(value)}


def _from_plain(_kind: type, record: dict[str, Any]) -> DemoticError:
    """The error of a record: of the same class, with the same fields."""
    # Errors have tuples and no lists; msgpack does not tell one from the other.
    fields = {name: tuple(value) if isinstance(value, list) else value for name, value in record["fields"].items()}
    kind = next((kind for kind in _error_classes() if kind.__name__ == record["kind"]), DemoticError)
    # Not through __init__: each class has its own, which makes the message of other things.
    error = kind.__new__(kind, fields["message"])
    vars(error).update(fields)
    return error


def _error_classes(root: type[DemoticError] = DemoticError) -> list[type[DemoticError]]:
    return [root, *(found for kind in root.__subclasses__() for found in _error_classes(kind))]


_ENCODER = msgspec.msgpack.Encoder(enc_hook=_to_plain)
_COMMANDS: msgspec.msgpack.Decoder[Command] = msgspec.msgpack.Decoder(Command, dec_hook=_from_plain)
_EVENTS: msgspec.msgpack.Decoder[WorkerEvent] = msgspec.msgpack.Decoder(WorkerEvent, dec_hook=_from_plain)
