"""What chat and text completions have in common."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

from runtime.api.schemas.language import LanguageFields, TextUsage
from runtime.api.schemas.searching import SearchFields
from runtime.config import ChoiceLimits, SamplingDefaults
from runtime.engine.beam_search import Beams
from runtime.engine.constraints import Constraint, ConstraintKind
from runtime.engine.messages import Finished
from runtime.engine.sampling import SamplingParams

_DEFAULTS = SamplingDefaults()
_LIMITS = ChoiceLimits()
_MAX_STOPS = 4
_MAX_HEADER = 1024

_SAMPLING_FIELDS = tuple(field.name for field in fields(SamplingDefaults))

Number = Annotated[float, Field(allow_inf_nan=False)]

# Descriptions of fields that several requests have.
STREAM = "Answer in server-sent events, as the text is generated."
TEMPERATURE = "Flattens the probabilities of tokens; 0 takes the likeliest one."
TOP_P = "Choose among the likeliest tokens that have this share of the probability together."

# Fields that would change the answer and cannot be honoured yet, with the values that ask for nothing.
_UNSUPPORTED: dict[str, tuple[object, ...]] = {
    "audio": (None,),
    "function_call": (None, "none"),
    "functions": (None, []),
    "modalities": (None, ["text"]),
    "prediction": (None,),
    "tool_choice": (None, "none"),
    "tools": (None, []),
    "web_search_options": (None,),
}
# Fields that ask for nothing this server does differently.
_ACCEPTED = frozenset({"metadata", "store", "user", *_UNSUPPORTED})


class StreamOptions(BaseModel):
    """`include_usage` asks for a last chunk with the token counts."""

    model_config = ConfigDict(strict=True)

    include_usage: bool = Field(False, description="A last event has the token counts.")


class JsonSchema(BaseModel):
    """A schema and its name; it is kept whether `strict` is true or not."""

    model_config = ConfigDict(strict=True)

    name: str = Field("answer", max_length=64, description="What the schema is called; it changes nothing.")
    description: str | None = Field(None, description="What the schema is for; it changes nothing.")
    schema_: dict[str, Any] = Field({}, alias="schema", description="The JSON schema that the answer must match.")
    strict: bool | None = Field(None, description="Taken; the schema is kept in any case.")


class ResponseFormat(BaseModel):
    """What the answer must be: any text, any JSON object, or JSON that matches a schema."""

    model_config = ConfigDict(strict=True)

    type: Literal["text", "json_object", "json_schema"] = Field(description="Any text, any JSON object, or a schema.")
    json_schema: JsonSchema | None = Field(None, description="The schema, where the type is `json_schema`.")

    @model_validator(mode="after")
    def _schema_where_it_belongs(self) -> ResponseFormat:
        if (self.type == "json_schema") != (self.json_schema is not None):
            raise refusal("response_format", "has a 'json_schema' where its type is 'json_schema', and only there")
        return self

    def to_schema(self) -> dict[str, Any] | None:
        """The JSON schema of the answer; None for any text."""
        if self.json_schema is not None:
            return self.json_schema.schema_
        return {"type": "object"} if self.type == "json_object" else None


class GenerationRequest(LanguageFields, SearchFields):
    """Fields of both kinds of completion. Unknown ones are ignored, and named in the header `x-demotic-ignored`."""

    model_config = ConfigDict(strict=True, extra="allow")

    model: str | None = Field(None, description="A served model's name, or MODEL:ADAPTER; without it, the first one.")
    adapter: str | None = Field(None, description="One of the model's adapters.")
    max_tokens: int | None = Field(None, ge=1, description="Longest answer, in tokens.")
    max_completion_tokens: int | None = Field(None, ge=1, description="Newer name of `max_tokens`; it wins.")
    n: int | None = Field(None, ge=1, le=_LIMITS.max_n, description="Answers to each prompt; 1 where it is not given.")
    stop: str | list[str] | None = Field(None, description="Up to four strings that end the answer; not part of it.")
    stream: bool | None = Field(False, description=STREAM)
    stream_options: StreamOptions | None = Field(None, description="What a stream has beside the answer.")
    temperature: Number | None = Field(None, ge=0, le=2, description=TEMPERATURE)
    top_p: Number | None = Field(None, ge=0, le=1, description=TOP_P)
    top_k: int | None = Field(None, ge=-1, description="Choose among the k likeliest tokens; 0 or -1: all.")
    min_p: Number | None = Field(None, ge=0, le=1, description="Leave out tokens below this share of the likeliest.")
    repetition_penalty: Number | None = Field(
        None, gt=0, le=1000, description="Above 1: make tokens that prompt or answer have less likely."
    )
    frequency_penalty: Number | None = Field(
        None, ge=-2, le=2, description="Subtracted from a token's logit for each time that the answer has it."
    )
    presence_penalty: Number | None = Field(
        None, ge=-2, le=2, description="Subtracted from the logits of tokens that the answer has."
    )
    logit_bias: dict[str, Number] | None = Field(
        None, description="Added to the logits of tokens, by their ids: from -100 (never) to 100 (always)."
    )
    seed: int | None = Field(None, description="The same seed draws the same answer again.")
    response_format: ResponseFormat | None = Field(None, description="What the answer must be.")
    guided_json: dict[str, Any] | str | None = Field(None, description="A JSON schema that the answer must match.")
    guided_regex: str | None = Field(None, description="A regular expression that the answer must match.")
    guided_choice: list[str] | None = Field(None, description="The texts of which the answer must be one.")
    allowed_strings: list[str] | None = Field(None, description="Another name of `guided_choice`.")
    guided_grammar: str | None = Field(None, description="A grammar for the answer, in GBNF or in Lark.")
    grammar: str | None = Field(None, description="Another name of `guided_grammar`.")

    @model_validator(mode="after")
    def _refuse_unsupported(self) -> GenerationRequest:
        refuse_unsupported(self.model_extra, _UNSUPPORTED)
        if isinstance(self.stop, list) and len(self.stop) > _MAX_STOPS:
            raise refusal("stop", f"may hold at most {_MAX_STOPS} strings")
        if self.stream_options is not None and not self.stream:
            raise refusal("stream_options", "needs 'stream': true")
        if len(self._constraints()) > 1:
            raise refusal("response_format", "and the fields that guide the answer exclude each other: send one")
        for token in self.logit_bias or {}:
            if not token.isascii() or not token.isdigit():
                raise refusal("logit_bias", f"must be keyed by token ids, not '{token}'")
        return self

    @property
    def response_headers(self) -> dict[str, str]:
        """Headers of the answer: the names of the fields that this server does not know."""
        return ignored_header(set(self.model_extra or {}) - _ACCEPTED)

    @property
    def num_written(self) -> int:
        """Answers that are written for each prompt; more than `num_choices` where the best of them are given."""
        return self.num_choices

    def constraint(self) -> Constraint | None:
        """What the answer must match, if anything."""
        return next(iter(self._constraints()), None)

    def _constraints(self) -> list[Constraint]:
        found: list[tuple[ConstraintKind, str]] = []
        schema = None if self.response_format is None else self.response_format.to_schema()
        if schema is not None:
            found.append(("json_schema", _to_json(schema)))
        if self.guided_json is not None:
            found.append(("json_schema", _to_json(self.guided_json)))
        if self.guided_regex:
            found.append(("regex", self.guided_regex))
        found += [("choice", _to_json(texts)) for texts in (self.guided_choice, self.allowed_strings) if texts]
        grammars = [grammar for grammar in (self.guided_grammar, self.grammar) if grammar]
        found += [("gbnf" if "::=" in grammar else "lark", grammar) for grammar in grammars]
        return [Constraint(kind, source) for kind, source in found]

    @property
    def num_choices(self) -> int:
        """Answers to each prompt."""
        return self.n or 1

    @property
    def beams(self) -> Beams | None:
        """How each answer is searched for, and how many are given to a prompt; None where they are not."""
        return self.beams_of(self.num_choices)

    @property
    def wants_usage(self) -> bool:
        """Whether a stream ends with the token counts."""
        return self.stream_options is not None and self.stream_options.include_usage

    @property
    def stops(self) -> tuple[str, ...]:
        """The stop strings, however they were sent."""
        if self.stop is None:
            return ()
        return tuple(stop for stop in ([self.stop] if isinstance(self.stop, str) else self.stop) if stop)

    def sampling(self) -> SamplingParams:
        """The engine's sampling parameters, with its defaults where the request says nothing."""
        sent: dict[str, Any] = {name: value for name in _SAMPLING_FIELDS if (value := getattr(self, name)) is not None}
        if self.beams is not None:
            sent.setdefault("temperature", 0.0)
        sent["top_k"] = max(sent.get("top_k", _DEFAULTS.top_k), 0)
        bias = {int(token): value for token, value in (self.logit_bias or {}).items()}
        # Seeds are any 64-bit integer in OpenAI's API, negative ones too.
        seed = None if self.seed is None else self.seed % 2**64
        return SamplingParams(**sent, logit_bias=bias, seed=seed)


def _to_json(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def schema_constraint(schema: dict[str, Any]) -> Constraint:
    """An answer in JSON that matches `schema`."""
    return Constraint("json_schema", _to_json(schema))


def ignored_header(names: Iterable[str]) -> dict[str, str]:
    """The header that tells which fields of a request were ignored; none where there are none."""
    ignored = sorted(ascii(name)[1:-1] for name in names)
    return {"x-demotic-ignored": ", ".join(ignored)[:_MAX_HEADER]} if ignored else {}


def refuse_unsupported(sent: Mapping[str, Any] | None, unsupported: Mapping[str, tuple[object, ...]]) -> None:
    """Refuse fields that cannot be honoured, unless their values are those in `unsupported`, which ask for nothing."""
    for name, value in (sent or {}).items():
        if name in unsupported and value not in unsupported[name]:
            raise refusal(name, "is not supported by this server")


def refusal(param: str, reason: str) -> PydanticCustomError:
    """Fault of one field that only shows when the whole body is looked at."""
    return PydanticCustomError("refused", "{reason}", {"param": param, "reason": reason})


class PromptTokensDetails(BaseModel):
    """`cached_tokens`: those of the prompt that an earlier or concurrent request had computed already."""

    cached_tokens: int


class CompletionTokensDetails(BaseModel):
    """Tokens that were guessed ahead, and are in the answer or not."""

    accepted_prediction_tokens: int
    rejected_prediction_tokens: int


class UsageBody(BaseModel):
    """Token counts."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int
    prompt_tokens_details: PromptTokensDetails
    completion_tokens_details: CompletionTokensDetails
    demotic: TextUsage | None = None

    @classmethod
    def from_finished(cls, finished: Sequence[Finished], num_choices: int) -> UsageBody:
        """Counts of an answer whose choices end so, in the order of their indices, `num_choices` to a prompt.

        A prompt counts once, and as its first choice found it: the others share what that one computes.
        """
        firsts = [first.usage for first in finished[::num_choices]]
        prompt = sum(first.prompt_tokens for first in firsts)
        completion = sum(choice.usage.completion_tokens for choice in finished)
        drafted = sum(choice.usage.drafted_tokens for choice in finished)
        accepted = sum(choice.usage.accepted_tokens for choice in finished)
        return cls(
            prompt_tokens=prompt,
            completion_tokens=completion,
            total_tokens=prompt + completion,
            prompt_tokens_details=PromptTokensDetails(cached_tokens=sum(first.cached_tokens for first in firsts)),
            completion_tokens_details=CompletionTokensDetails(
                accepted_prediction_tokens=accepted, rejected_prediction_tokens=drafted - accepted
            ),
        )


class ErrorDetail(BaseModel):
    """What went wrong: `message` for people, `type` and `code` for programs, `param` the field at fault."""

    message: str
    type: str
    param: str | None
    code: str | None


class ErrorBody(BaseModel):
    """OpenAI's error object."""

    error: ErrorDetail


FinishReasonBody = Literal["stop", "length"]
