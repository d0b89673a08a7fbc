"""The closed vocabulary between an engine and its clients, in this process or another.

A client sends `Generate`, `Encode`, `LabelTokens`, `FillMask`, `LoadAdapter`, `Tokenize`, `Describe`, `Detokenize` and
`Abort`. It gets back exactly one `Failed`, or else any number of `Delta`s and one `Finished` for a `Generate`, one
`Row`, `Entities` or `Fills` for each input and one `Finished` for an `Encode`, a `LabelTokens` or a `FillMask`,
`Attached` for a `LoadAdapter`, `Tokens` for a `Tokenize`, `Pieces` for a `Describe`, `Text` for a `Detokenize`. A model
answers one of the first four.

A worker process is sent `Load` first. It answers with `Progress` and then `Ready`, or `Failed` with the request id
LOADING. From then on it sends a `Pulse` every second, and a last one when `Shutdown` ends it.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from runtime.engine.beam_search import Beams
from runtime.engine.constraints import Constraint
from runtime.engine.rules import Rules
from runtime.engine.sampling import SamplingParams
from runtime.engine.statistics import EngineStatistics
from runtime.errors import DemoticError
from runtime.hardware.plan import Plan
from runtime.language.lock import Lock
from runtime.models.encoding import Encoding

FinishReason = Literal["stop", "length", "cancelled"]
# How the labels of tokens become entities: names of transformers' token-classification pipeline.
Aggregation = Literal["none", "simple", "first", "average", "max"]
# What becomes of a text that is longer than the context: refused, cut off at its end, or taken in windows.
Overflow = Literal["error", "truncate", "chunk"]

LOADING = ""
# What a worker puts before llama.cpp's own error lines on its standard error: they are kept, and not shown.
NATIVE_PREFIX = "llama.cpp: "


class Load(msgspec.Struct, frozen=True, tag=True):
    """Load the GGUF, or the folder of graphs, at `path` (bytes, since names need not be Unicode), which was checked.

    `encoding` is how it makes vectors or scores, None where it generates text.
    `prefix_dir`, in bytes as well, is where prefixes are saved; without it none are.
    """

    path: bytes
    plan: Plan
    max_waiting: int
    max_draft: int
    max_answer: int | None = None
    encoding: Encoding | None = None
    prefix_dir: bytes | None = None


class Between(msgspec.Struct, frozen=True, tag=True):
    """A text between tokens: what a translator reads, in whose texts names of control tokens are text."""

    before: tuple[int, ...]
    text: str
    after: tuple[int, ...]


class Generate(msgspec.Struct, frozen=True, tag=True):
    """Continue `prompt`: text, a text between tokens, or token ids as they are.

    `parse_special` reads names of control tokens in a text prompt as those tokens (a rendered chat template needs
    it). `max_tokens` None means as far as the context reaches. `adapter` is the name of a LoRA that was attached.
    `constraint` is what the answer must match, `lock` keeps it in scripts. `max_characters` is the longest answer in
    code points; it ends on a whole grapheme cluster. `logprobs` asks for those of the answer's tokens, each with so
    many of the likeliest; `prompt_logprobs` for those of the prompt as well, whose first token has none. `max_tokens`
    may then be 0. `logprob_tokens` are told of after the likeliest, wherever logprobs are told. `visible` are names of
    control tokens that are text of the answer. `param` is what errors call the prompt.

    An encoder-decoder writes after `begin`, without it after its own start, and then `prefix`, which is of the answer.
    `rules` forbid tokens. With `beams` the answer is searched for, and comes as a whole, or several do.
    """

    request_id: str
    prompt: str | Between | tuple[int, ...]
    sampling: SamplingParams
    max_tokens: int | None = None
    stop: tuple[str, ...] = ()
    parse_special: bool = False
    adapter: str | None = None
    constraint: Constraint | None = None
    logprobs: int | None = None
    prompt_logprobs: bool = False
    logprob_tokens: tuple[int, ...] = ()
    lock: Lock | None = None
    max_characters: int | None = None
    visible: tuple[str, ...] = ()
    param: str = "prompt"
    begin: tuple[int, ...] = ()
    prefix: str = ""
    rules: Rules | None = None
    beams: Beams | None = None


class Pair(msgspec.Struct, frozen=True, tag=True):
    """Two texts for a cross-encoder, which puts its own tokens around and between them."""

    first: str
    second: str


class Framed(msgspec.Struct, frozen=True, tag=True):
    """A text within a prompt: names of control tokens are read as such in `before` and `after`, not in `text`."""

    before: str
    text: str
    after: str


class Encode(msgspec.Struct, frozen=True, tag=True):
    """Make one row of numbers of each of `inputs`: text, token ids as they are, or one of the above.

    Vectors come normalised, cut to `dimensions` first. Scores come as the model's head gives them. `param` is what
    errors call the inputs.
    """

    request_id: str
    inputs: tuple[str | tuple[int, ...] | Pair | Framed, ...]
    overflow: Overflow = "error"
    dimensions: int | None = None
    param: str = "input"


class LabelTokens(msgspec.Struct, frozen=True, tag=True):
    """Tell the entities in each of `inputs`, but those of the labels `ignored`. `param` is that of `Encode`."""

    request_id: str
    inputs: tuple[str, ...]
    aggregation: Aggregation = "simple"
    ignored: tuple[str, ...] = ("O",)
    overflow: Overflow = "error"
    param: str = "input"


class FillMask(msgspec.Struct, frozen=True, tag=True):
    """Tell the `top_k` likeliest tokens for each mask in each of `inputs`, or of `targets`. `param` as in `Encode`.

    The mask is the model's own mask token, or `[MASK]` or `<mask>`. A target is a token as the vocabulary writes it, or
    a text of one token. `truncate` cuts a text that is longer than the context off at its end.
    """

    request_id: str
    inputs: tuple[str, ...]
    top_k: int = 5
    targets: tuple[str, ...] | None = None
    truncate: bool = False
    param: str = "input"


class LoadAdapter(msgspec.Struct, frozen=True, tag=True):
    """Attach the LoRA at `path` (bytes, as in `Load`), whose header has been checked, under the name `adapter`."""

    request_id: str
    adapter: str
    path: bytes


class Tokenize(msgspec.Struct, frozen=True, tag=True):
    """Tell the token ids of `text`.

    `add_special` adds what the model wants at the beginning of a sequence; without it the text goes on from others.
    `parse_special` is that of `Generate`.
    """

    request_id: str
    text: str
    add_special: bool = True
    parse_special: bool = False


class Describe(msgspec.Struct, frozen=True, tag=True):
    """Tell what each of `tokens` stands for. It takes some microseconds a token: ask for few at a time."""

    request_id: str
    tokens: tuple[int, ...]


class Detokenize(msgspec.Struct, frozen=True, tag=True):
    """Tell the text that `tokens` stand for."""

    request_id: str
    tokens: tuple[int, ...]


class Abort(msgspec.Struct, frozen=True, tag=True):
    """Take a request back; it still gets its `Finished`, with the reason "cancelled"."""

    request_id: str


class Shutdown(msgspec.Struct, frozen=True, tag=True):
    """Answer what is in flight with `Failed`, and end."""


class Progress(msgspec.Struct, frozen=True, tag=True):
    """Share of the model that is loaded, 0 to 1."""

    share: float


class Ready(msgspec.Struct, frozen=True, tag=True):
    """The model is loaded, as `plan` says: the plan of its `Load`, but for what did not fit on cards.

    Sizes in tokens, as the backend made them.
    """

    context_length: int
    vocabulary_size: int
    plan: Plan


class Pulse(msgspec.Struct, frozen=True, tag=True):
    """The process runs. `step_seconds` is how long the engine has been in its present step, 0 where in none."""

    step_seconds: float
    statistics: EngineStatistics


class Alternative(msgspec.Struct, frozen=True):
    """A token that might have come: its id, its bytes, and the logarithm of its probability."""

    token: int
    data: bytes
    logprob: float


class TokenLogprob(msgspec.Struct, frozen=True):
    """A token, its bytes, the logarithm of its probability, and the likeliest tokens in its place."""

    token: int
    data: bytes
    logprob: float | None
    top: tuple[Alternative, ...] = ()


class Hypothesis(msgspec.Struct, frozen=True):
    """Of an answer that beam search found: its place, 0 for the best, and its score (`sequences_scores`)."""

    index: int
    score: float
    num_tokens: int
    reason: FinishReason


class Delta(msgspec.Struct, frozen=True, tag=True):
    """The next piece of the answer: whole grapheme clusters.

    `logprobs`, where they were asked for, are of the tokens since the piece before; those may not be the tokens of
    `text`, which is held back while a character is not whole. `is_prompt`: they are of the prompt; there is no text.
    `found`: this is all of an answer that beam search found.
    """

    request_id: str
    text: str
    logprobs: tuple[TokenLogprob, ...] = ()
    is_prompt: bool = False
    found: Hypothesis | None = None


class Row(msgspec.Struct, frozen=True, tag=True):
    """The numbers of the input at `index`: float32, the lowest byte first. Rows come in any order."""

    request_id: str
    index: int
    data: bytes


class Entity(msgspec.Struct, frozen=True, array_like=True):
    """A part of a text that has a label; `start` and `end` are in characters of the text, of which it is `text`."""

    label: str
    score: float
    start: int
    end: int
    text: str


class Entities(msgspec.Struct, frozen=True, tag=True):
    """The entities of the input at `index`, in their order. Inputs come in any order."""

    request_id: str
    index: int
    entities: tuple[Entity, ...]


class Fill(msgspec.Struct, frozen=True, array_like=True):
    """A token in the place of a mask, its probability and its text, and the whole text with it there."""

    token: int
    score: float
    text: str
    sequence: str


class Fills(msgspec.Struct, frozen=True, tag=True):
    """For each mask of the input at `index` its tokens, the likeliest first. Inputs come in any order."""

    request_id: str
    index: int
    masks: tuple[tuple[Fill, ...], ...]


class Usage(msgspec.Struct, frozen=True):
    """Tokens read and tokens given out; the token that ends an answer counts as neither.

    `cached_tokens` are those of the prompt that another request had computed already. `drafted_tokens` were guessed
    ahead, and `accepted_tokens` of them are in the answer. `blocked_tokens` were the likeliest, and the lock kept them
    out. `context_tokens` are those in the context that has least room left: of prompt and answer together, or of the
    longer one where an encoder-decoder has a context for each.
    """

    prompt_tokens: int
    completion_tokens: int
    cached_tokens: int = 0
    drafted_tokens: int = 0
    accepted_tokens: int = 0
    blocked_tokens: int = 0
    context_tokens: int = 0


class Timings(msgspec.Struct, frozen=True):
    """Seconds: waiting in the queue, arrival to first token, first token to last."""

    queued: float
    first_token: float
    decode: float


class Finished(msgspec.Struct, frozen=True, tag=True):
    """The answer is complete. "length": cut by `max_tokens`, `max_characters` or the end of the context.

    Of a request that is answered for each input, `timings.first_token` is the time to the last.
    `stopped_by` is the stop string that ended it, where one did.
    """

    request_id: str
    reason: FinishReason
    usage: Usage
    timings: Timings
    stopped_by: str | None = None


class Piece(msgspec.Struct, frozen=True, array_like=True):
    """A token as the vocabulary writes it, and its bytes in text, which are none for control tokens."""

    text: str
    data: bytes


class Tokens(msgspec.Struct, frozen=True, tag=True):
    """The token ids asked for with `Tokenize`."""

    request_id: str
    tokens: tuple[int, ...]


class Pieces(msgspec.Struct, frozen=True, tag=True):
    """The `pieces` of the tokens asked for with `Describe`, in their order."""

    request_id: str
    pieces: tuple[Piece, ...]


class Text(msgspec.Struct, frozen=True, tag=True):
    """The text asked for with `Detokenize`; bytes that are no UTF-8 are U+FFFD."""

    request_id: str
    text: str


class Attached(msgspec.Struct, frozen=True, tag=True):
    """The adapter is there."""

    request_id: str


class Failed(msgspec.Struct, frozen=True, tag=True):
    """The request cannot be answered, and why."""

    request_id: str
    error: DemoticError


# What is answered for each input by itself, and those answers.
EncodingRequest = Encode | LabelTokens | FillMask
Part = Row | Entities | Fills
Request = Generate | EncodingRequest | LoadAdapter | Tokenize | Describe | Detokenize
Command = Load | Request | Abort | Shutdown
Event = Delta | Part | Finished | Attached | Tokens | Pieces | Text | Failed
WorkerEvent = Progress | Ready | Pulse | Event
