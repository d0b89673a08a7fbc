"""What a checkpoint says of its special tokens: which begin and end texts, which end answers, and the chat template."""

from __future__ import annotations

from typing import Any

import tokenizers

from converters.architectures.base import Value
from converters.checkpoint import GENERATION_FILE, Checkpoint
from converters.config import Config
from runtime.errors import ConversionRefused

# What transformers has names for.
ROLES = ("bos", "eos", "unk", "pad", "sep", "mask", "cls")
# Where llama.cpp keeps the tokens that end an answer.
_END_KEYS = ("eos", "eot", "eom")
_PROBE = "a"


def special_tokens(checkpoint: Checkpoint, tokenizer: tokenizers.Tokenizer, notes: list[str]) -> dict[str, Value]:
    """The entries `tokenizer.ggml.*_token_id`, `add_*_token` and the chat templates.

    What stands around a text is taken from what the tokenizer does, which no flag contradicts.

    Raises:
        ConversionRefused: the tokenizer puts something else around a text than at most one token on each side.
    """
    plain = tokenizer.encode(_PROBE, add_special_tokens=False).ids
    around = tokenizer.encode(_PROBE).ids
    if around[: len(around) - len(plain)] + plain == around:
        before, after = around[: len(around) - len(plain)], []
    else:
        start = next((at for at in range(len(around)) if around[at : at + len(plain)] == plain), 0)
        before, after = around[:start], around[start + len(plain) :]
    if len(before) > 1 or len(after) > 1:
        raise ConversionRefused(
            f"{checkpoint.folder} has a tokenizer that puts {len(before)} tokens before a text and {len(after)} after "
            "it; llama.cpp puts at most one on each side."
        )
    entries: dict[str, Value] = {
        "tokenizer.ggml.add_bos_token": bool(before),
        "tokenizer.ggml.add_eos_token": bool(after),
    }
    named = named_tokens(checkpoint, tokenizer)
    if bos := before or named["bos"]:
        entries["tokenizer.ggml.bos_token_id"] = bos[0]
    ends = list(dict.fromkeys([*after, *_ends(checkpoint), *named["eos"]]))
    ends = [token for token in ends if token < tokenizer.get_vocab_size()]
    for name, token in zip(_END_KEYS, ends, strict=False):
        entries[f"tokenizer.ggml.{name}_token_id"] = token
    if len(ends) > len(_END_KEYS):
        notes.append(
            f"Of {len(ends)} tokens that end an answer, {len(_END_KEYS)} are written: llama.cpp keeps no more."
        )
    if after and not named["sep"]:
        named["sep"] = after
    for key, name in (("unknown", "unk"), ("padding", "pad"), ("seperator", "sep"), ("mask", "mask"), ("cls", "cls")):
        if named[name]:
            entries[f"tokenizer.ggml.{key}_token_id"] = named[name][0]
    return entries | chat_templates(checkpoint)


def named_tokens(checkpoint: Checkpoint, tokenizer: tokenizers.Tokenizer) -> dict[str, list[int]]:
    """Ids of the tokens that the tokenizer's files name by what they are for (`ROLES`), one or none each."""
    files = [checkpoint.json(name) for name in ("tokenizer_config.json", "special_tokens_map.json")]
    ids: dict[str, list[int]] = {}
    for name in ROLES:
        texts = [_text(values.get(f"{name}_token")) for values in files]
        found = [tokenizer.token_to_id(text) for text in texts if text is not None]
        ids[name] = [token for token in found if token is not None][:1]
        if not ids[name] and name in {"bos", "eos", "pad"}:
            ids[name] = checkpoint.config.integers(f"{name}_token_id")[:1]
    return ids


def _text(value: Any) -> str | None:
    content = value.get("content") if isinstance(value, dict) else value
    return content if isinstance(content, str) else None


def _ends(checkpoint: Checkpoint) -> list[int]:
    """Tokens that end an answer: what generation says, which finetunes change, else what the model says."""
    generation = Config(checkpoint.json(GENERATION_FILE), str(checkpoint.folder / GENERATION_FILE))
    return generation.integers("eos_token_id") or checkpoint.config.integers("eos_token_id")


def chat_templates(checkpoint: Checkpoint) -> dict[str, Value]:
    """The entries that hold the chat template, and those under other names; none where there is none."""
    path = checkpoint.path("chat_template.jinja")
    template: Any = path.read_text(encoding="utf-8") if path.is_file() else None
    for file in ("chat_template.json", "tokenizer_config.json"):
        template = template or checkpoint.json(file).get("chat_template")
    if isinstance(template, str) and template:
        return {"tokenizer.chat_template": template}
    named = template if isinstance(template, list) else []
    by_name = {each["name"]: each["template"] for each in named if isinstance(each, dict) and "template" in each}
    entries: dict[str, Value] = {f"tokenizer.chat_template.{name}": text for name, text in by_name.items()}
    if "default" in by_name:
        entries["tokenizer.chat_template"] = by_name["default"]
        del entries["tokenizer.chat_template.default"]
    return entries
