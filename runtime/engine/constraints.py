"""What an answer may be, as a mask over the vocabulary for each next token, and the tokens that leave no choice.

Grammars (JSON schemas, regular expressions, Lark, GBNF) are llguidance's. A list of choices is a trie over token ids
that unfolds as an answer goes along it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from functools import cache, cached_property
from typing import TYPE_CHECKING, Literal, Protocol

import msgspec
import numpy as np
import numpy.typing as npt

from runtime.backends.base import Ids, Logits
from runtime.errors import InferenceFailed, InvalidRequest
from runtime.text.dates import with_real_dates
from runtime.text.tokenizer import Tokenizer
from runtime.text.vocabulary import Vocabulary

if TYPE_CHECKING:
    from llguidance import LLExecutor, LLMatcher, LLTokenizer

ConstraintKind = Literal["json_schema", "regex", "choice", "lark", "gbnf"]

MAX_SOURCE_CHARS = 256 * 1024
MAX_CHOICES = 4096
# Deeper brackets could overflow the stack of a parser that is not ours, and end the process.
MAX_NESTING = 100

# Parts of the vocabulary that llguidance allows as a whole where a grammar has room for them: inside a JSON string, all
# tokens of so many characters. It has 10 and 30 by default; with these a string of a bounded length costs half.
_IN_STRING = r'[^"\\\x00-\x1F\x7F]'
_SLICES = (r"[\x20\x0A\x0D\x09]+", *(f"{_IN_STRING}{{1,{most}}}" for most in (5, 10, 15, 20, 30)), f"{_IN_STRING}+")

# Of this many words of a mask, 32 tokens each, it is cheaper to name the tokens than to go over the whole row.
_FEW_WORDS = 256
_NONE = np.empty(0, np.int64)


class Trigger(msgspec.Struct, frozen=True):
    """A constraint that begins only where an answer has one of `texts`, which are a part of what it is about.

    `is_first`: only at the beginning of the answer. `is_after`: the text itself is no part of it, nor white space that
    follows, and the answer does not end before. `times`: the answer ends after so many of what it is about. `skip` are
    the marks around reasoning, in which nothing begins; `is_skipping`: the answer begins within it.
    """

    texts: tuple[str, ...]
    is_first: bool = False
    is_after: bool = False
    times: int = 1
    skip: tuple[str, str] | None = None
    is_skipping: bool = False


class Constraint(msgspec.Struct, frozen=True):
    """The answer must match `source`, which is JSON for a schema and for a list of choices.

    A grammar in Lark may speak of its `marks` as `mark_0`, `mark_1`, ...: each is the control token of that text where
    the vocabulary has one, else the text. `relaxed` takes the place of a source that cannot be enforced. `param` is
    the field of the request that asks for all this.
    """

    kind: ConstraintKind
    source: str
    marks: tuple[str, ...] = ()
    trigger: Trigger | None = None
    relaxed: str | None = None
    param: str = "response_format"


class Matcher(Protocol):
    """Where an answer stands in what it may be."""

    @property
    def is_complete(self) -> bool:
        """Whether nothing can follow but the end."""

    @property
    def active(self) -> Matcher | None:
        """What restricts the next token; None where nothing does."""

    def restrict(self, row: Logits) -> Ids | None:
        """The ids of the tokens that may follow, ascending, where they are few; else None, and all others are -inf.

        There are none where the vocabulary cannot write what must follow.
        """

    def accept(self, token: int, *, may_foretell: bool = True) -> list[int]:
        """Go on by `token`, which was allowed; if it `may_foretell`, also by those that must follow, and return these.

        Raises:
            InferenceFailed: a grammar outgrew its bounds; what it allowed last means nothing.
        """


class ConstraintCompiler:
    """Makes matchers over one vocabulary; the first one takes up to seconds where that is large."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer

    def compile(self, constraint: Constraint) -> Matcher:
        """The matcher of an answer that has not begun.

        Raises:
            InvalidRequest: the source is not what its kind says, or asks for what cannot be enforced.
        """
        try:
            return self._compile(constraint)
        except InvalidRequest as fault:
            if constraint.relaxed is not None:
                return self.compile(msgspec.structs.replace(constraint, source=constraint.relaxed, relaxed=None))
            fault.param = constraint.param
            raise

    def _compile(self, constraint: Constraint) -> Matcher:
        if len(constraint.source) > MAX_SOURCE_CHARS:
            raise _refusal(f"has {len(constraint.source)} characters, and at most {MAX_SOURCE_CHARS} are taken")
        if _nesting(constraint.source) > MAX_NESTING:
            raise _refusal(f"is nested deeper than {MAX_NESTING} levels")
        if constraint.kind == "choice":
            return ChoiceMatcher(_read_choices(constraint.source), self.vocabulary)
        from llguidance import LLMatcher

        grammar = _to_grammar(constraint, self._mark_rules(constraint.marks))
        matcher = LLMatcher(self._ll_tokenizer, grammar, log_level=0)
        if matcher.is_error():
            raise _refusal(f"cannot be enforced: {_explain(matcher.get_error())}")
        follower = GrammarMatcher(matcher, self._tokenizer)
        if constraint.trigger is None:
            return follower
        from runtime.engine.trigger import TriggeredMatcher

        return TriggeredMatcher(constraint.trigger, follower, self.vocabulary)

    def _mark_rules(self, marks: Sequence[str]) -> str:
        """The rules of a grammar's marks."""
        rules = []
        for index, mark in enumerate(marks):
            token = control_token(mark, self._tokenizer)
            rules.append(f"mark_{index}: {json.dumps(mark, ensure_ascii=False) if token is None else f'<[{token}]>'}")
        return "".join(f"\n{rule}" for rule in rules)

    @cached_property
    def vocabulary(self) -> Vocabulary:
        """What each token stands for."""
        return Vocabulary(self._tokenizer)

    @cached_property
    def _ll_tokenizer(self) -> LLTokenizer:
        from llguidance import LLTokenizer, TokenizerWrapper

        source = TokenizerWrapper(_LlVocabulary(self.vocabulary))
        return LLTokenizer(
            source, n_vocab=len(self.vocabulary.pieces), eos_token=self.vocabulary.ends, slices=list(_SLICES)
        )


class GrammarMatcher:
    """`Matcher` over a grammar."""

    def __init__(self, matcher: LLMatcher, tokenizer: Tokenizer) -> None:
        self.matcher = matcher
        self._tokenizer = tokenizer

    @property
    def is_complete(self) -> bool:
        """See `Matcher.is_complete`."""
        return self.matcher.is_stopped()

    @property
    def active(self) -> Matcher:
        """See `Matcher.active`."""
        return self

    def copy(self) -> GrammarMatcher:
        """Another one that stands where this one does."""
        return GrammarMatcher(self.matcher.deep_copy(), self._tokenizer)

    def restrict(self, row: Logits) -> Ids | None:
        """See `Matcher.restrict`."""
        return restrict_rows([(self, row)])[0]

    def accept(self, token: int, *, may_foretell: bool = True) -> list[int]:
        """See `Matcher.accept`."""
        forced: list[int] = []
        if not self._tokenizer.is_end(token):
            self.matcher.consume_token(token)
            forced = self.matcher.compute_ff_tokens() if may_foretell else []
            self.matcher.consume_tokens(forced)
        if self.matcher.is_error():
            raise InferenceFailed(f"The answer's grammar cannot be followed: {_explain(self.matcher.get_error())}.")
        return forced


class ChoiceMatcher:
    """`Matcher` over a list of texts; each may be spelled in tokens in any way."""

    def __init__(self, choices: Sequence[bytes], vocabulary: Vocabulary) -> None:
        self._vocabulary = vocabulary
        self.choices = tuple(choices)
        # What is left of each text that the answer can still become.
        self._left = list(choices)

    @property
    def is_complete(self) -> bool:
        """See `Matcher.is_complete`."""
        return not any(self._left)

    @property
    def active(self) -> Matcher:
        """See `Matcher.active`."""
        return self

    def restrict(self, row: Logits) -> Ids:  # noqa: ARG002  # the Protocol's
        """See `Matcher.restrict`."""
        allowed = {token for left in self._left for token in self._vocabulary.beginnings(left)}
        if b"" in self._left:
            allowed.update(self._vocabulary.ends)
        return np.fromiter(sorted(allowed), np.int64)

    def accept(self, token: int, *, may_foretell: bool = True) -> list[int]:
        """See `Matcher.accept`."""
        piece = self._vocabulary.pieces[token]
        self._left = [left[len(piece) :] for left in self._left if left.startswith(piece)]
        if len(self._left) > 1 or not any(self._left) or not may_foretell:
            return []
        forced = self._vocabulary.spell(self._left[0])
        self._left = [b""]
        return forced


def restrict_rows(pairs: Iterable[tuple[Matcher, Logits]]) -> list[Ids | None]:
    """`Matcher.restrict` of each row for its matcher; the masks of grammars are computed side by side."""
    few: list[Ids | None] = []
    grammars: list[tuple[int, GrammarMatcher, Logits]] = []
    for at, (matcher, row) in enumerate(pairs):
        active = matcher.active
        is_grammar = isinstance(active, GrammarMatcher)
        few.append(None if active is None or is_grammar else active.restrict(row))
        if isinstance(active, GrammarMatcher):
            grammars.append((at, active, row))
    if not grammars:
        return few
    from llguidance.numpy import fill_next_token_bitmask_par

    masks = np.empty((len(grammars), -(-len(grammars[0][2]) // 32)), np.int32)
    wanted = [(grammar.matcher, index) for index, (_, grammar, _) in enumerate(grammars)]
    fill_next_token_bitmask_par(_executor(), wanted, masks)
    for (at, grammar, row), mask in zip(grammars, masks, strict=True):
        # A grammar that cannot be followed allows the end, which would pass for an answer.
        few[at] = _NONE if grammar.matcher.is_error() else _apply(mask, row)
    return few


def _apply(mask: npt.NDArray[np.int32], row: Logits) -> Ids | None:
    """The tokens of `mask`, a bit each from the lowest of the first word on, as `Matcher.restrict` gives them."""
    words = np.flatnonzero(mask)
    if len(words) > _FEW_WORDS:
        allowed = np.unpackbits(mask.view(np.uint8), bitorder="little", count=len(row)).view(np.bool_)
        np.copyto(row, -np.inf, where=~allowed)
        return None
    word, bit = np.nonzero(np.unpackbits(mask[words].view(np.uint8), bitorder="little").reshape(-1, 32))
    ids = words[word] * 32 + bit
    return ids[ids < len(row)]


def control_token(text: str, tokenizer: Tokenizer) -> int | None:
    """The control token of this text; None where it is text like any other."""
    tokens = tokenizer.encode(text, parse_special=True, is_beginning=False)
    return tokens[0] if len(tokens) == 1 and not tokenizer.token_bytes(tokens[0]) else None


class _LlVocabulary:
    """A vocabulary as llguidance wants it; control tokens are marked by a byte that no text has."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        name = vocabulary.tokenizer.token_text
        self.tokens = [piece or b"\xff" + name(token).encode() for token, piece in enumerate(vocabulary.pieces)]
        self.special_token_ids = [token for token, piece in enumerate(vocabulary.pieces) if not piece]
        self.eos_token_id = vocabulary.ends[0]
        self.bos_token_id = None
        self._spell = vocabulary.spell

    def __call__(self, text: str) -> list[int]:
        return self._spell(text.encode())


@cache
def _executor() -> LLExecutor:
    from llguidance import LLExecutor

    return LLExecutor()


def _to_grammar(constraint: Constraint, marks: str) -> str:
    from llguidance import LLMatcher
    from llguidance.gbnf_to_lark import GbnfToLarkError, gbnf_to_lark

    match constraint.kind:
        case "regex":
            return LLMatcher.grammar_from_regex(constraint.source)
        case "lark":
            return LLMatcher.grammar_from_lark(constraint.source + marks)
        case "gbnf":
            try:
                return LLMatcher.grammar_from_lark(gbnf_to_lark(constraint.source))
            except GbnfToLarkError as fault:
                raise _refusal(f"is no GBNF: {fault}") from fault
        case _:
            schema = _read_json(constraint.source)
            if not isinstance(schema, dict):
                raise _refusal("is no JSON schema: that is an object")
            return LLMatcher.grammar_from_json_schema(
                json.dumps(with_real_dates(schema)),
                overrides={
                    # No free choice of white space: keys and punctuation are forced, and cost no step of the model.
                    "whitespace_flexible": False,
                    "item_separator": ", ",
                    "key_separator": ": ",
                    # Texts in any script are written as they are.
                    "json_allowed_escapes": 'bfnrt"\\',
                },
            )


def _read_choices(source: str) -> list[bytes]:
    choices = _read_json(source)
    if not isinstance(choices, list) or not choices or not all(isinstance(text, str) and text for text in choices):
        raise _refusal("must be a list of texts, none of them empty")
    if len(choices) > MAX_CHOICES:
        raise _refusal(f"has {len(choices)} choices, and at most {MAX_CHOICES} are taken")
    return list(dict.fromkeys(text.encode() for text in choices))


def _read_json(source: str) -> object:
    try:
        return json.loads(source)
    except ValueError as fault:
        raise _refusal(f"is no JSON: {fault}") from fault


def _nesting(source: str) -> int:
    depth = deepest = 0
    for char in source:
        if char in "{[(":
            depth += 1
            deepest = max(deepest, depth)
        elif char in "}])":
            depth -= 1
    return deepest


def _explain(message: str) -> str:
    """The first line of a message of llguidance, and, where a parser drew a picture of the fault, its verdict."""
    first, *others = message.strip().splitlines()
    verdict = [line.removeprefix("error:") for line in others if line.startswith("error:")]
    return "".join([first, *verdict[:1]]).rstrip(".")


def _refusal(fault: str) -> InvalidRequest:
    return InvalidRequest(f"What the answer must match {fault}.", param="response_format")
