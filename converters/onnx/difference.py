"""What a smaller artefact does otherwise than the one it was made of, language by language, and how fast both are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np

from converters.likelihood import kl_divergences
from converters.onnx.artefact import Artefact, Encode, language_of
from converters.onnx.computed import NUM_GREEDY, Computed, Text
from converters.onnx.session import Array
from converters.probes import DECLARATION
from runtime.errors import ConversionRefused, InvalidRequest

# Languages that a model of many is tried on where nobody says which: scripts and families apart.
USUAL = ("eng_Latn", "bul_Cyrl", "arb_Arab", "hin_Deva", "swh_Latn", "zho_Hans")
_MAX_TOKENS = 64
# Measures of how much is kept.
Measure = Literal["cosine", "score", "top_1"]


@dataclass(frozen=True)
class Line:
    """One language's line.

    milliseconds: before and after: of reading the text, or of writing `NUM_GREEDY` tokens.
    kept: by the report's measure; 1 where nothing is lost.
    max_difference: of all numbers.
    mean_kl: of what gives text: KL divergence of the next-token distributions, over the positions, in nats.
    num_greedy: of what gives text: how many of `NUM_GREEDY` greedy tokens are the same from the first on.
    """

    language: str
    num_tokens: int
    milliseconds: tuple[float, float]
    kept: float
    max_difference: float
    mean_kl: float | None = None
    num_greedy: int | None = None


@dataclass(frozen=True)
class Report:
    """All languages.

    measure: of `kept`: the cosine between the outputs; of a single score 1 less the difference by the larger; of what
        gives text the share of positions with the same likeliest token.
    num_bytes: of the graphs before and after.
    """

    measure: Measure
    num_bytes: tuple[int, int]
    lines: tuple[Line, ...]

    @property
    def worst(self) -> Line:
        """The language that loses most."""
        return min(self.lines, key=lambda line: line.kept)

    @property
    def speedup(self) -> float:
        """How many times as fast, over all languages."""
        before, after = (sum(line.milliseconds[at] for line in self.lines) for at in (0, 1))
        return before / after

    def as_dict(self) -> dict[str, Any]:
        """All of it, for JSON."""
        return {
            "measure": self.measure,
            "bytes": list(self.num_bytes),
            "speedup": self.speedup,
            "worst": self.worst.kept,
            "lines": [
                {name: value for name, value in asdict(line).items() if value is not None} for line in self.lines
            ],
        }

    def require(self, max_drop: float) -> None:
        """Refuse what loses more than this in a language.

        Raises:
            ConversionRefused: with the languages, the worst first.
        """
        lost = sorted((line for line in self.lines if 1 - line.kept > max_drop), key=lambda line: line.kept)
        if lost:
            worst = ", ".join(f"{line.language} {1 - line.kept:.2g}" for line in lost[:5])
            raise ConversionRefused(
                f"It loses more than {max_drop:g} ({self.measure.replace('_', ' ')}) in {len(lost)} of "
                f"{len(self.lines)} languages: {worst}. Nothing was written.",
                remedy="Choose a larger type, leave the embedding as it is (--embedding-type fp32), or allow more.",
            )


def chosen_languages(artefact: Artefact, asked: Sequence[str]) -> list[str]:
    """Languages of the corpus: those that are asked for, else of the model's, one a script first, else the usual ones.

    Raises:
        InvalidRequest: one that is asked for is none, or is not in the corpus.
    """
    if asked:
        return list(dict.fromkeys(map(_in_corpus, asked)))
    own = artefact.languages()
    if not own or set(USUAL) <= set(own):
        return list(USUAL)
    first = list({name[-4:]: name for name in reversed(own)}.values())[::-1]
    return [*first, *(name for name in own if name not in first)][: len(USUAL)]


def _in_corpus(name: str) -> str:
    language = language_of(name)
    if language is None or language not in DECLARATION:
        raise InvalidRequest(
            f"There is no text in {name!r:.40} to compare on.",
            remedy="docs/converting.md lists the languages of the corpus.",
        )
    return language


def texts_of(artefact: Artefact, encode: Encode, languages: Sequence[str]) -> list[Text]:
    """The text of each language as the model reads it, and what an encoder-decoder begins with.

    A translator is to translate each text into its own language, so that it is likely to write it again.
    """
    settings = artefact.settings
    most = min(_MAX_TOKENS, settings.get("max_length") or _MAX_TOKENS)
    texts = []
    for name in languages:
        ids = encode(DECLARATION[name])
        if len(ids) > most:
            ids = [*ids[: most - 1], ids[-1]]
        spoken = settings.get("languages")
        code = artefact.code_of(name)
        start = []
        if settings["shape"] == "encoder-decoder":
            start = [settings["tokens"]["decoder_start"]]
            if spoken and code is None:
                code = next(iter(spoken["codes"].values()))
            if spoken and code is not None:
                ids = _with_language(spoken["source"], ids, code)
                start = {"forced_bos": [*start, code], "decoder_start": [code]}.get(spoken["target"], start)
        texts.append(Text(name, ids, start))
    return texts


def _with_language(pattern: Sequence[str | int], ids: Sequence[int], code: int) -> list[int]:
    """A text as the encoder reads it; `ids` end with the end token."""
    found: list[int] = []
    for part in pattern:
        match part:
            case "text":
                found += ids[:-1]
            case "source" | "target":
                found.append(code)
            case _:
                found.append(int(part))
    return found


def compared(
    artefact: Artefact,
    num_bytes: tuple[int, int],
    texts: Sequence[Text],
    before: Sequence[Computed],
    after: Sequence[Computed],
) -> Report:
    """The report of what was computed of these texts before and after."""
    is_score = not artefact.writes and before[0].rows.size == 1
    measure: Measure = "top_1" if artefact.writes else "score" if is_score else "cosine"
    lines = tuple(_line(measure, *each) for each in zip(texts, before, after, strict=True))
    return Report(measure, num_bytes, lines)


def _line(measure: Measure, text: Text, before: Computed, after: Computed) -> Line:
    wanted, found = before.rows, after.rows
    line = Line(
        text.language,
        len(text.ids),
        (before.seconds * 1000, after.seconds * 1000),
        _kept(measure, wanted, found),
        float(np.abs(wanted - found).max()),
    )
    if measure != "top_1":
        return line
    pairs = enumerate(zip(before.greedy, after.greedy, strict=True))
    same = next((at for at, (one, other) in pairs if one != other), NUM_GREEDY)
    kl = float(kl_divergences(wanted, found).mean())
    return Line(**{**asdict(line), "mean_kl": kl, "num_greedy": same})


def _kept(measure: Measure, wanted: Array, found: Array) -> float:
    match measure:
        case "top_1":
            return float((wanted.argmax(axis=1) == found.argmax(axis=1)).mean())
        case "score":
            largest = max(abs(float(wanted.item())), abs(float(found.item())))
            return 1 - abs(float(wanted.item()) - float(found.item())) / largest if largest else 1.0
        case "cosine":
            one, other = wanted.ravel().astype(np.float64), found.ravel().astype(np.float64)
            product = float(np.linalg.norm(one) * np.linalg.norm(other))
            return float(one @ other) / product if product else float(np.array_equal(one, other))
