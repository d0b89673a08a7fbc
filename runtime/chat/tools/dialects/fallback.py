"""Any model at all: told in the user's language to write a JSON object between `<tool_call>` and `</tool_call>`."""

from __future__ import annotations

from collections.abc import Sequence

from runtime.chat.tools.call import Tool
from runtime.chat.tools.dialects.base import Dialect
from runtime.chat.tools.dialects.hermes import Hermes


class Fallback(Hermes):
    """Hermes' form, which more models have seen than any other."""

    name = "prompt"

    def describe(self, tools: Sequence[Tool], language: str | None) -> str:
        """See `Dialect.describe`."""
        return Dialect.describe(self, tools, language)
