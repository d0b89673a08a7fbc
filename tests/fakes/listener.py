"""What an engine has said, for tests that ask it directly."""

from __future__ import annotations

from runtime.engine.messages import Delta, Event, Failed, Finished


class Listener:
    """Keeps the events of an engine that emits to `events.append`."""

    def __init__(self) -> None:
        self.events: list[Event] = []

    def text(self, name: str) -> str:
        """The text of a request so far."""
        return "".join(event.text for event in self.events if isinstance(event, Delta) and event.request_id == name)

    def last(self, name: str) -> Finished:
        """How a request ended."""
        (event,) = [event for event in self.events if isinstance(event, Finished) and event.request_id == name]
        return event

    def error(self, name: str) -> Exception:
        """Why a request failed."""
        (event,) = [event for event in self.events if isinstance(event, Failed) and event.request_id == name]
        return event.error
