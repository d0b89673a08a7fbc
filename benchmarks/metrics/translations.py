"""BLEU and chrF of translations, by sacrebleu; the signatures say exactly how."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from runtime.errors import ConfigurationInvalid

if TYPE_CHECKING:
    import sacrebleu

# Scripts whose words have no space between them: BLEU counts their characters.
_UNSPACED = frozenset({"Hans", "Hant", "Jpan", "Khmr", "Laoo", "Mymr", "Thai", "Tibt"})


@dataclass(frozen=True)
class Corpus:
    """Of all translations into a language together, from 0 to 100, with sacrebleu's signatures."""

    bleu: float
    chrf: float
    bleu_signature: str
    chrf_signature: str


def library() -> None:
    """Make sure that sacrebleu is there.

    Raises:
        ConfigurationInvalid: it is not installed.
    """
    try:
        import sacrebleu  # noqa: F401  # only whether it is there
    except ImportError as fault:
        raise ConfigurationInvalid(
            "BLEU and chrF need the package sacrebleu.", remedy="Run `pip install 'demotic[eval]'`."
        ) from fault


def corpus(translations: Sequence[str], references: Sequence[Sequence[str]], script: str) -> Corpus:
    """The figures of `translations`, each with one or more `references`, into a language of an ISO 15924 `script`.

    BLEU takes words as mteval-v13a does, Chinese as sacrebleu's `zh`, and other scripts without spaces by character.

    Raises:
        ValueError: there is no translation, or not one list of references for each, or an empty one.
    """
    if not translations or len(translations) != len(references) or not all(references):
        raise ValueError("translations and references do not belong together")
    streams = _streams(references)
    bleu, chrf = _bleu(script), _chrf()
    return Corpus(
        bleu=float(bleu.corpus_score(translations, streams).score),
        chrf=float(chrf.corpus_score(translations, streams).score),
        bleu_signature=str(bleu.get_signature()),
        chrf_signature=str(chrf.get_signature()),
    )


def chrf_of(text: str, references: Sequence[str]) -> float:
    """chrF of one text, from 0 to 100."""
    return float(_chrf().sentence_score(text, references).score)


def _streams(references: Sequence[Sequence[str]]) -> list[list[Any]]:
    """Column by column, as sacrebleu wants them: None where a text has fewer than another, though its types say not."""
    most = max(map(len, references))
    return [[each[place] if place < len(each) else None for each in references] for place in range(most)]


def _bleu(script: str) -> sacrebleu.BLEU:
    import sacrebleu

    return sacrebleu.BLEU(tokenize="zh" if script in {"Hans", "Hant"} else "char" if script in _UNSPACED else "13a")


def _chrf() -> sacrebleu.CHRF:
    import sacrebleu

    return sacrebleu.CHRF()
