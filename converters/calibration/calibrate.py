"""From a model and texts by language to an importance matrix and a report.

Everything that can be refused is refused before the first token is computed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from converters.calibration.chunks import CHUNK_TOKENS, TokenChunk, chunks_of
from converters.calibration.collect import collect
from converters.calibration.importance import mixed
from converters.calibration.report import Part, Report, report_on
from converters.calibration.texts import LanguageText, own_texts, read_mix, read_texts
from converters.files import require_free, temporary_beside
from converters.gguf.imatrix import ImportanceMatrix, write_imatrix
from converters.progress import NoSteps, StepProgress
from runtime.backends.llama.model import LlamaModel
from runtime.errors import InvalidRequest, UnsupportedArchitecture
from runtime.models.encoding import encoding_of
from runtime.models.inspect import Header, check_loadable, read_header
from runtime.models.seq2seq import SEQ2SEQ

# On Gemma 3 270M sixteen chunks of 512 tokens made better files than eight.
_ENOUGH_TOKENS = 10_000


@dataclass(frozen=True)
class Request:
    """What is asked for: `texts` as LANGUAGE=FILE, none for the lines of our own; `mix` as LANGUAGE=WEIGHT,..."""

    model: Path
    output: Path
    texts: Sequence[str] = ()
    mix: str = ""
    force: bool = False


@dataclass(frozen=True)
class Calibrated:
    """The file, what was found, and what to tell of it."""

    path: Path
    report: Report
    notes: tuple[str, ...]


def calibrate(request: Request, progress: StepProgress | None = None) -> Calibrated:
    """Make an importance matrix of a model.

    Raises:
        ModelFileInvalid, UnsupportedArchitecture: the model cannot be run, or gives no text.
        InvalidRequest, UnknownLanguage: a text or a weight is not as it must be.
        ConversionRefused: the name is taken, or the disk refuses the file.
        ConfigurationInvalid: the installed llama.cpp is another one than is known.
        InferenceFailed: it failed.
    """
    progress = progress or NoSteps()
    require_free(request.output, force=request.force)
    header = read_header(request.model)
    _require_decoder(header)
    texts = read_texts(request.texts) if request.texts else own_texts()
    weights = read_mix(request.mix, [text.language for text in texts])
    size = min(CHUNK_TOKENS, header.shape().context_length)
    model = LlamaModel(request.model)
    try:
        chunks = {text.language: _chunks(text, model, size) for text in texts}
        progress.start(f"Calibrating {request.model.name}, in chunks", sum(map(len, chunks.values())))
        try:
            found = collect(model, chunks, size, progress)
        finally:
            progress.finish()
    finally:
        model.close()
    parts = {
        text.language: Part(
            found[text.language],
            sum(len(chunk.tokens) for chunk in chunks[text.language]),
            len(chunks[text.language]),
            text.num_duplicates,
            weights[text.language],
        )
        for text in texts
    }
    mix = mixed((part.importances, part.weight) for part in parts.values())
    datasets = tuple(dict.fromkeys(f"{text.language}={name}" for text in texts for name in text.sources))
    num_chunks = sum(part.num_chunks for part in parts.values())
    with temporary_beside(request.output) as temporary:
        matrix = ImportanceMatrix(mix, datasets, num_chunks, size, weights)
        write_imatrix(temporary, matrix, model=header.name)
    return Calibrated(request.output, report_on(parts, mix), tuple(_notes(request, parts)))


def _require_decoder(header: Header) -> None:
    check_loadable(header)
    encoding = encoding_of(header)
    if encoding is not None or header.architecture in SEQ2SEQ:
        kind = "is an encoder-decoder" if encoding is None else encoding.purpose
        raise UnsupportedArchitecture(f"{header.path} {kind}; decoders, which give text, are calibrated.")


def _chunks(text: LanguageText, model: LlamaModel, size: int) -> list[TokenChunk]:
    chunks = chunks_of(text.pieces, model.tokenizer, size)
    if not chunks:
        raise InvalidRequest(f"The text of {text.language} has no token.", param="--text")
    return chunks


def _notes(request: Request, parts: dict[str, Part]) -> list[str]:
    if not request.texts:
        note = (
            f"No --text was given: a line in each of {len(parts)} languages stood in. More text of the languages that "
        )
        return [note + f"you want gives a better matrix: {_ENOUGH_TOKENS:,} tokens of each and more."]
    little = [language for language, part in parts.items() if part.num_tokens < _ENOUGH_TOKENS]
    if not little:
        return []
    return [f"There are fewer than {_ENOUGH_TOKENS:,} tokens of {', '.join(little)}: more text gives a better matrix."]
