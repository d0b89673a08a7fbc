"""Any model at all: told in the user's language to write a JSON object between `<tool_call>` and `</tool_call>`."""

from __future__ import annotations

from collections.abc import Sequence

from runtime.chat.tools.call import Tool
from runtime.chat.tools.dialects.hermes import Hermes


class Fallback(Hermes):
    """See the module. The form is that of Hermes, which more models have seen than any other."""

    name = "prompt"

    def words(self, tools: Sequence[Tool]) -> str | None:  # noqa: ARG002  # such a model was trained with none
        """See `Dialect.words`."""
        return None
