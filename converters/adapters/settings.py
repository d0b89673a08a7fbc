"""What an adapter's adapter_config.json says of its changes: how strong each is, and which are whole modules.

Format: peft/tuners/lora/config.py. What would change the computation in a way that is not known here is refused.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeVar

import regex

from converters.config import Config
from runtime.errors import ConversionRefused

# Kinds of LoRA that compute something else than W + B A.
_UNKNOWN_KINDS = (
    "alora_invocation_tokens", "use_qalora", "use_bdlora", "kasa_config", "arrow_config", "monteclora_config",
    "target_parameters", "layer_replication",
)  # fmt: skip
# What LoRA was begun with that took something out of the base's weights: it is an adapter of what was left of them.
_OF_RESIDUALS = ("pissa", "olora", "corda", "loftq", "lora_ga")
# Patterns come from the adapter: one that takes exponential time must not hang the program.
_MATCH_SECONDS = 0.2
_Value = TypeVar("_Value", int, float)


@dataclass(frozen=True)
class Settings:
    """The settings of one LoRA adapter.

    where: the file, for messages.
    base, revision: the model that it was trained on, as the adapter names it.
    ranks, alphas: by patterns of modules' names, what differs from `rank` and `alpha`.
    saved_modules: ends of names of modules that were trained whole, and whose weights are the adapter's own.
    token_rows: the rows of embeddings that were trained: of all modules with such rows, or by their names.
    """

    where: str
    base: str | None
    revision: str | None
    rank: int
    alpha: float
    is_rank_stabilized: bool
    is_dora: bool
    ranks: Mapping[str, int]
    alphas: Mapping[str, float]
    saved_modules: tuple[str, ...]
    token_rows: list[int] | Mapping[str, list[int]]

    def rank_of(self, module: str) -> int:
        """The rank of a module's matrices."""
        return self._by_pattern(self.ranks, module, self.rank)

    def scale_of(self, module: str) -> float:
        """What the product of a module's matrices is multiplied by: alpha / rank, or alpha / sqrt(rank).

        The latter is rank-stabilized LoRA, https://arxiv.org/abs/2312.03732.
        """
        alpha, rank = self._by_pattern(self.alphas, module, self.alpha), self.rank_of(module)
        return alpha / (math.sqrt(rank) if self.is_rank_stabilized else rank)

    def is_saved(self, module: str) -> bool:
        """Whether a module was trained whole, as one of the adapter's own beside the base's."""
        return module.endswith(self.saved_modules) if self.saved_modules else False

    def rows_of(self, module: str) -> list[int]:
        """Which rows of a module's matrix were trained."""
        if isinstance(self.token_rows, list):
            return self.token_rows
        return next((rows for name, rows in self.token_rows.items() if f".{module}".endswith(f".{name}")), [])

    def _by_pattern(self, values: Mapping[str, _Value], module: str, default: _Value) -> _Value:
        for pattern, value in values.items():
            try:
                is_meant = regex.match(rf"(.*\.)?({pattern})$", module, timeout=_MATCH_SECONDS)
            except (regex.error, TimeoutError) as fault:
                raise ConversionRefused(f"{self.where} has a pattern that cannot be used: {pattern!r:.80}.") from fault
            if is_meant:
                return value
        return default


def read_settings(config: Config) -> Settings:
    """Read the settings.

    Raises:
        ConversionRefused: it is no LoRA, or one that computes something else, or a value is missing or senseless.
    """
    kind = config.text("peft_type", default="LORA")
    if kind != "LORA":
        raise ConversionRefused(
            f"{config.where} is of the kind {kind:.40}, which is not converted; LoRA and DoRA are.",
            remedy="If PEFT can merge it (merge_and_unload), convert the checkpoint that it then saves.",
        )
    for name in _UNKNOWN_KINDS:
        if config.values.get(name):
            raise ConversionRefused(f"{config.where} sets '{name}', which is not converted.")
    begun = config.values.get("init_lora_weights")
    if isinstance(begun, str) and begun.startswith(_OF_RESIDUALS):
        raise ConversionRefused(
            f"{config.where} was begun with {begun:.40}, which changes the base's weights too.",
            remedy="Save it with PEFT's path_initial_model_for_weight_conversion, which makes a plain LoRA of it.",
        )
    ranks = config.section("rank_pattern")
    alphas = config.section("alpha_pattern")
    settings = Settings(
        where=config.where,
        base=config.text("base_model_name_or_path", default="") or None,
        revision=config.text("revision", default="") or None,
        rank=config.integer("r", default=8),
        alpha=config.number("lora_alpha", default=8.0),
        is_rank_stabilized=config.flag("use_rslora", default=False),
        is_dora=config.flag("use_dora", default=False),
        ranks={pattern: ranks.integer(pattern) for pattern in ranks.values},
        alphas={pattern: alphas.number(pattern) for pattern in alphas.values},
        saved_modules=tuple(config.texts("modules_to_save")),
        token_rows=_token_rows(config),
    )
    if 0 in (settings.rank, *settings.ranks.values()):
        raise ConversionRefused(f"{config.where} has 0 as a rank.")
    return settings


def _token_rows(config: Config) -> list[int] | dict[str, list[int]]:
    if isinstance(config.values.get("trainable_token_indices"), dict):
        section = config.section("trainable_token_indices")
        return {name: section.integers(name) for name in section.values}
    return config.integers("trainable_token_indices")
