"""Every error a user can cause or meet.

    DemoticError
    ├── InvalidRequest            a value that cannot be honoured
    │   ├── ContextOverflow       prompt and answer do not fit the context
    │   ├── PreviousResponseNotFound  the answer to follow up is not kept
    │   ├── RequestTooLarge       the request's body is over the limit
    │   ├── UnknownLanguage       no language of that name or code
    │   └── UnsupportedLanguages  the model does not translate this language
    ├── Unauthorized              no key, or a wrong one
    ├── ModelNotFound             no model of that name
    ├── AdapterNotFound           the model has no adapter of that name
    ├── ResponseNotFound          no answer of that id is kept
    ├── ModelFileInvalid          the file is damaged or is not a model
    ├── UnsupportedArchitecture   a sound file that no backend can run
    ├── ModelLoadFailed           the backend refused to load it
    │   └── CardFailed            a card has no room for its part of the model, or does not start
    ├── DownloadFailed            the hub could not be reached, or sent something else
    ├── ConversionRefused         a checkpoint cannot become the artefact asked for
    ├── ConfigurationInvalid      a setting or a configuration file is wrong
    ├── ToolServerFailed          a server of tools does not start or answer
    ├── HistoryUnusable           the file of conversations is damaged, newer, or cannot be written
    │   └── HistoryBusy           another program writes to it for too long
    ├── ConversationNotFound      no conversation has this number
    ├── ImportRefused             a file cannot be imported; nothing of it was
    ├── AddressInUse              another program listens there
    ├── QueueFull                 too many requests wait already
    ├── TooManyRequests           one client asks for too much at the same time
    ├── ModelBusy                 the model cannot be unloaded now
    ├── NoRoomForModel            every loaded model is answering, so none can make room
    ├── WorkerDied                the process that runs the model has ended
    ├── Cancelled                 the caller took the request back
    └── InferenceFailed           the backend failed while computing

Each carries what happened, to which thing, and what to do next. The command line prints one line and exits 2; the
API answers with OpenAI's or Anthropic's error object (`runtime/api/errors.py`); nothing else formats errors.
"""

from __future__ import annotations


class DemoticError(Exception):
    """The root: `message` says what happened to which thing, `remedy` what to do next (it may be empty)."""

    def __init__(self, message: str, *, remedy: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.remedy = remedy

    def __str__(self) -> str:
        return f"{self.message} {self.remedy}".rstrip()


class InvalidRequest(DemoticError):
    """A request that cannot be honoured as it stands; `param` names the field at fault."""

    def __init__(self, message: str, *, remedy: str = "", param: str | None = None) -> None:
        super().__init__(message, remedy=remedy)
        self.param = param


class ContextOverflow(InvalidRequest):
    """The prompt, or the prompt and the answer asked for, need more tokens than the context holds."""

    def __init__(self, *, num_tokens: int, context_length: int, param: str = "prompt") -> None:
        # Clients that fall back on a larger model know the case by llama-server's words for it.
        super().__init__(
            "The request exceeds the available context size: "
            f"it needs {num_tokens} tokens, but the context holds {context_length}.",
            remedy="Shorten the prompt, ask for fewer tokens, or start with a larger context.",
            param=param,
        )
        self.num_tokens = num_tokens
        self.context_length = context_length


class PreviousResponseNotFound(InvalidRequest):
    """The answer that a request follows up is not kept, or not for this caller."""

    def __init__(self, response_id: str) -> None:
        super().__init__(
            f"There is no response '{response_id}' to follow up.",
            remedy="Send the whole conversation as 'input'.",
            param="previous_response_id",
        )


class RequestTooLarge(InvalidRequest):
    """The body of the request is over the server's limit."""


class UnknownLanguage(InvalidRequest):
    """No language has this name or code; `nearest` holds known ones that look like it."""

    def __init__(self, name: str, *, nearest: tuple[str, ...] = (), param: str | None = None) -> None:
        hint = f"Did you mean {' or '.join(nearest)}?" if nearest else "Name it as in bg, bul_Cyrl or Bulgarian."
        super().__init__(f"There is no language '{name}'.", remedy=hint, param=param)
        self.name = name
        self.nearest = nearest


class UnsupportedLanguages(InvalidRequest):
    """The model does not translate from or to this language; `known` are those that it does."""

    def __init__(self, model: str, name: str, *, known: tuple[str, ...], param: str) -> None:
        way = "from" if param == "source" else "to"
        super().__init__(
            f"{model} does not translate {way} '{name}'.", remedy=f"It knows {', '.join(known)}.", param=param
        )
        self.known = known


class Unauthorized(DemoticError):
    """The request carries no API key, or not one of the server's."""


class ModelNotFound(DemoticError):
    """No model has this name; `nearest` holds the known names that look like it."""

    def __init__(self, name: str, *, nearest: tuple[str, ...] = (), remedy: str = "") -> None:
        hint = f"Did you mean {' or '.join(nearest)}?" if nearest else remedy
        super().__init__(f"There is no model named '{name}'.", remedy=hint)
        self.name = name
        self.nearest = nearest


class AdapterNotFound(DemoticError):
    """The model has no adapter of this name; `known` holds the names of those that it has."""

    def __init__(self, name: str, *, known: tuple[str, ...] = ()) -> None:
        remedy = f"It has {', '.join(known)}." if known else "It has none."
        super().__init__(f"There is no adapter named '{name}' for this model.", remedy=remedy)
        self.name = name
        self.known = known


class ResponseNotFound(DemoticError):
    """No answer of this id is kept, or not for this caller."""

    def __init__(self, response_id: str) -> None:
        super().__init__(f"There is no response '{response_id}'.", remedy="Old ones make room for new ones.")


class ModelFileInvalid(DemoticError):
    """The file is damaged, is not what its name says, or holds values no sound model has."""


class UnsupportedArchitecture(DemoticError):
    """A sound file of an architecture that no backend here can run."""


class ModelLoadFailed(DemoticError):
    """The backend could not load the model; the message ends with the backend's last error line."""


class CardFailed(ModelLoadFailed):
    """A card cannot compute its part of the model: it has too little memory free, or does not start."""


class DownloadFailed(DemoticError):
    """The model hub could not be reached, refused, or sent something else than it promised."""


class ConversionRefused(DemoticError):
    """A checkpoint cannot become the artefact asked for; no part of one is left."""


class ConfigurationInvalid(DemoticError):
    """A setting, an environment variable or the configuration file has a wrong name or value."""


class ToolServerFailed(DemoticError):
    """An MCP server could not be started or reached, or does not speak the protocol."""


class HistoryUnusable(DemoticError):
    """The file of conversations is damaged, of a newer version, not ours, or cannot be written; it was not changed."""


class HistoryBusy(HistoryUnusable):
    """Another program writes to the file of conversations, for longer than we wait."""


class ConversationNotFound(DemoticError):
    """No conversation has this number."""

    def __init__(self, number: int) -> None:
        super().__init__(
            f"There is no conversation {number}.", remedy="`demotic history list` shows those that there are."
        )


class ImportRefused(DemoticError):
    """A file cannot be imported: it is not what it should be, or is over a limit. Nothing of it was imported."""


class AddressInUse(DemoticError):
    """Another program listens on this address and port."""


class QueueFull(DemoticError):
    """Too many requests wait already; try again after `retry_after` seconds."""

    def __init__(self, *, num_waiting: int, retry_after: int = 1) -> None:
        super().__init__(f"{num_waiting} requests wait already.", remedy=f"Try again in {retry_after} s.")
        self.retry_after = retry_after


class TooManyRequests(DemoticError):
    """One client has as many requests in flight as it may; try again after `retry_after` seconds."""

    def __init__(self, *, limit: int, retry_after: int = 1) -> None:
        super().__init__(
            f"You have {limit} requests in flight, which is as many as one client may have.",
            remedy=f"Wait for one of them, or try again in {retry_after} s.",
        )
        self.retry_after = retry_after


class ModelBusy(DemoticError):
    """The model `name` cannot be unloaded now, and `why`."""

    def __init__(self, name: str, why: str, *, remedy: str = "") -> None:
        super().__init__(f"{name} is not unloaded: it {why}.", remedy=remedy)


class NoRoomForModel(DemoticError):
    """The model is not loaded, and those that are were all answering; try again after `retry_after` seconds."""

    def __init__(self, name: str, *, retry_after: int = 1) -> None:
        super().__init__(
            f"There is no room to load {name}: every loaded model is answering.",
            remedy=f"Try again in {retry_after} s, or give the server more memory or a larger --max-models.",
        )
        self.retry_after = retry_after


class WorkerDied(DemoticError):
    """The process of `model` has ended, and `cause` says how; it is started again after `retry_after` seconds.

    lacked_card_memory: a card ran out of memory, so that the model is loaded with less of it on the card.
    """

    def __init__(self, model: str, cause: str, *, retry_after: int = 1, lacked_card_memory: bool = False) -> None:
        anew = "anew, with less of it on the card" if lacked_card_memory else "anew"
        super().__init__(
            f"The worker of {model} {cause}.", remedy=f"Try again in {retry_after} s: the model is loaded {anew}."
        )
        self.model = model
        self.cause = cause
        self.retry_after = retry_after
        self.lacked_card_memory = lacked_card_memory


class Cancelled(DemoticError):
    """The caller took the request back before it was done."""


class InferenceFailed(DemoticError):
    """The backend failed while computing this request; other requests go on."""
