"""What requests and answers say of languages, the same way at every endpoint that generates text."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import BaseModel, ConfigDict, Field

from runtime.language.codes import Language, parse
from runtime.language.lock import AUTO, Lock, LockMode, lock_of
from runtime.language.regions import Span

_MAX_NAME = 80
_MAX_SCRIPTS = 16


class LanguageFields(BaseModel):
    """Which language the answer is to be in, and how long it may be in characters."""

    model_config = ConfigDict(strict=True)

    language: str | None = Field(
        None, max_length=_MAX_NAME, description="Keep the answer in the script of this language; `auto`: the user's."
    )
    scripts: list[str] | None = Field(
        None, max_length=_MAX_SCRIPTS, description="Keep it in these scripts (ISO 15924) instead."
    )
    mode: LockMode | None = Field(
        None, description="`soft`, the default, makes other scripts unlikely; `hard` makes them impossible."
    )
    max_characters: int | None = Field(None, ge=1, description="Longest answer in characters; it ends on a whole one.")

    @property
    def named_language(self) -> Language | None:
        """The language that the request names itself.

        Raises:
            UnknownLanguage: there is no such language.
        """
        return None if self.language in {None, "", AUTO} else parse(self.language or "", param="language")

    def lock(self, said: str, exempt: Sequence[Span] = ()) -> Lock | None:
        """What keeps the answer to `said` in scripts, if anything does. Raises as `lock_of` does."""
        return lock_of(said, language=self.language, scripts=self.scripts, mode=self.mode, exempt=exempt)


class TextUsage(BaseModel):
    """What tokens leave out: the length of an answer in characters, and languages as `bul_Cyrl`, null if not known.

    `graphemes` are characters as people count them. `blocked_tokens`: steps at which the likeliest token was foreign
    to the answer's scripts and did not come. `context_left`: tokens that the longest choice could still have had.
    """

    characters: int
    graphemes: int
    characters_per_token: float | None
    prompt_language: str | None
    answer_language: str | None
    blocked_tokens: int
    context_left: int
