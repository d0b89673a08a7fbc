"""The package tokenizers over one tokenizer.json: texts in, ids with offsets out, from several threads."""

from __future__ import annotations

import json
import threading

import tokenizers

from runtime.errors import InvalidRequest
from runtime.text.tokenizer import STAND_IN, to_utf8


class TokenizerLibrary:
    """What both tokenizers of a tokenizer.json read by; `inner` is the library's own object."""

    def __init__(self, source: str) -> None:
        """`source` is the JSON; the errors are whatever the library raises, which is Exception itself."""
        self.inner = tokenizers.Tokenizer.from_str(source)
        self._is_unigram = json.loads(source)["model"].get("type") == "Unigram"
        self.inner.no_truncation()
        self.inner.no_padding()
        # Whether names of control tokens are read is a state of the library, and grammars ask in another thread.
        self.lock = threading.Lock()

    def read(self, text: str, *, parse_special: bool, is_framed: bool = False) -> tokenizers.Encoding:
        """The tokens of a text; `is_framed` with those that the file puts around it.

        Raises:
            InvalidRequest: the library cannot, or the text is not valid Unicode.
        """
        to_utf8(text)
        with self.lock:
            self.inner.encode_special_tokens = not parse_special
            try:
                return self.inner.encode(text, add_special_tokens=is_framed)
            except Exception as fault:  # as above
                raise InvalidRequest(f"The model's tokenizer cannot read the text: {fault}.") from fault

    def go_on(self, text: str, *, parse_special: bool) -> list[int]:
        """Ids of a text that others stand before: without the space that some vocabularies put before the first word.

        Those of unigrams take white space for what stands between words, and put it before whatever follows a token
        that is no text. Raises as `read`.
        """
        if self._is_unigram:
            return self.read(text, parse_special=parse_special).ids
        read = self.read(STAND_IN + text, parse_special=parse_special)
        return [token for token, (start, _) in zip(read.ids, read.offsets, strict=True) if start >= len(STAND_IN)]
