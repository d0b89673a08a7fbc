"""Fields of requests whose answer may be searched for, and of the rules that it keeps."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field

from runtime.engine.beam_search import MAX_BEAMS, Beams

_Number = Annotated[float, Field(allow_inf_nan=False)]


class SearchFields(BaseModel):
    """Beam search, and what an answer may not be. Only encoder-decoders as ONNX graphs have beams."""

    num_beams: int | None = Field(
        None, ge=1, le=MAX_BEAMS, description="Search for the likeliest answer along so many beginnings; 1 is greedy."
    )
    length_penalty: _Number | None = Field(
        None, ge=-10, le=10, description="Scores of beams are divided by their length to this power; 1 by default."
    )
    early_stopping: bool | Literal["never"] | None = Field(
        None, description="End the search with as many answers as beams: `true`; where none gets better: `never`."
    )
    no_repeat_ngram_size: int | None = Field(None, ge=0, le=64, description="No run of so many tokens comes twice.")
    min_tokens: int | None = Field(None, ge=0, description="The answer does not end before it has so many tokens.")

    def beams_of(self, num_answers: int, told: dict[str, Any] | None = None) -> Beams | None:
        """How the answer is searched for; None where it is not. `told` is what holds where the request says nothing."""
        told = told or {}
        num_beams = self.num_beams
        if num_beams is None and "num_beams" in told:
            num_beams = max(told["num_beams"], num_answers)
        if num_beams is None or (num_beams == 1 and num_answers == 1):
            return None
        asked = {"length_penalty": self.length_penalty, "early_stopping": self.early_stopping}
        default = {name: told[name] for name in asked if told.get(name) is not None}
        return Beams(num_beams, num_answers, **default | {name: one for name, one in asked.items() if one is not None})

    @property
    def asked_rules(self) -> dict[str, int]:
        """The fields of `Rules` that the request has."""
        names = ("no_repeat_ngram_size", "min_tokens")
        return {name: value for name in names if (value := getattr(self, name)) is not None}
