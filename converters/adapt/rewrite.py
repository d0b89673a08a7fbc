"""The metadata of a GGUF with fewer tokens: everything that lists tokens, or refers to one, counted anew."""

from __future__ import annotations

import json
from collections.abc import Mapping

import numpy as np

from converters.adapt.required import DEFAULT_IDS, ID_KEY
from converters.adapt.selection import Selection
from converters.adapt.tokenizer_json import trimmed_json
from converters.adapt.vocabulary import Vocabulary
from runtime.models.gguf_copy import number_entry, numbers_entry, text_entry, texts_entry
from runtime.models.gguf_format import StringArray
from runtime.models.header import EMBEDDED_KEY, Header
from runtime.models.trimmed import MAP_KEY, ORIGINAL_KEY, ROWS_KEY, fingerprint

_LISTS = ("scores", "token_type")


def rewritten(
    entries: Mapping[str, bytes], header: Header, vocabulary: Vocabulary, selection: Selection
) -> dict[str, bytes]:
    """The entries of the trimmed file, from those of the source, whose header is `header`."""
    kept = selection.tokens
    new_ids = selection.new_ids
    changed = dict(entries)
    texts = _texts(header, "tokens")
    changed["tokenizer.ggml.tokens"] = texts_entry([texts[token] for token in kept.tolist()])
    for name in _LISTS:
        values = header.metadata.get(f"tokenizer.ggml.{name}")
        if isinstance(values, np.ndarray):
            changed[f"tokenizer.ggml.{name}"] = numbers_entry(values[kept])
    if vocabulary.kind == "bpe":
        changed["tokenizer.ggml.merges"] = _merges(header, vocabulary, new_ids)
    for key, value in header.metadata.items():
        if ID_KEY.search(key):
            changed[key] = _renumbered(entries[key], value, new_ids)
        elif key.endswith(".vocab_size") and value == len(vocabulary):
            changed[key] = number_entry(len(kept), entries[key])
    for name, token in DEFAULT_IDS[header.text("tokenizer.ggml.model") or ""].items():
        if f"tokenizer.ggml.{name}_token_id" not in entries and token in new_ids:
            changed[f"tokenizer.ggml.{name}_token_id"] = number_entry(new_ids[token])
    embedded = header.metadata.get(EMBEDDED_KEY)
    if isinstance(embedded, str):
        text = json.dumps(trimmed_json(json.loads(embedded), new_ids), ensure_ascii=False, separators=(",", ":"))
        changed[EMBEDDED_KEY] = text_entry(text)
    return changed | _trim_entries(header, selection, len(vocabulary))


def _texts(header: Header, name: str) -> list[bytes]:
    """An array of texts of the tokenizer; that it is one has been checked with the header."""
    texts = header.metadata[f"tokenizer.ggml.{name}"]
    return texts.all_bytes() if isinstance(texts, StringArray) else []


def _merges(header: Header, vocabulary: Vocabulary, new_ids: Mapping[int, int]) -> bytes:
    """The merges whose parts and result stay: any other would make what is no token, and the text be lost."""
    stay = {vocabulary.pieces[token] for token in new_ids}
    pairs = zip(_texts(header, "merges"), vocabulary.merges, strict=True)
    return texts_entry([text for text, (left, right) in pairs if {left, right, left + right} <= stay])


def _renumbered(entry: bytes, value: object, new_ids: Mapping[int, int]) -> bytes:
    if isinstance(value, np.ndarray):
        # Ids that no token has were left alone before, and are gone now.
        found = [new_ids[token] for token in value.tolist() if token in new_ids]
        return numbers_entry(np.array(found, value.dtype))
    return number_entry(new_ids[value], entry) if isinstance(value, int) and value in new_ids else entry


def _trim_entries(header: Header, selection: Selection, num_tokens: int) -> dict[str, bytes]:
    """Where the rows come from: of a file that was trimmed before, from its own original."""
    earlier = header.metadata.get(MAP_KEY)
    rows = header.metadata.get(ROWS_KEY)
    original = header.metadata.get(ORIGINAL_KEY)
    is_again = isinstance(earlier, np.ndarray) and isinstance(rows, int) and isinstance(original, str)
    origin = earlier[selection.tokens] if is_again and isinstance(earlier, np.ndarray) else selection.tokens
    return {
        MAP_KEY: numbers_entry(origin.astype(np.int32)),
        ROWS_KEY: number_entry(rows if is_again and isinstance(rows, int) else num_tokens),
        ORIGINAL_KEY: text_entry(original if is_again and isinstance(original, str) else fingerprint(header)),
    }
