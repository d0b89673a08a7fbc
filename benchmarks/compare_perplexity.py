"""Our likelihoods beside llama-perplexity's, on the same text in each of several languages.

llama-perplexity reads a text in chunks of the context, each after BOS where the model has one, and counts the guesses
in the second half of each (tools/perplexity/perplexity.cpp). Here the same tokens are guessed by what computes
`demotic eval`, so that only the arithmetic can differ. The text is the parallel text, repeated until it has two chunks.

    python -m benchmarks.compare_perplexity --binary llama-perplexity --model gemma-3-270m --output results.json
"""

from __future__ import annotations

import argparse
import math
import re
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.machine import fingerprint
from benchmarks.parallel import declaration
from benchmarks.quality.likelihood import Window, bits_of
from benchmarks.quality.opened import OpenedDecoder, open_model
from benchmarks.report import to_json
from benchmarks.script import leave_with
from runtime.card import ModelCard
from runtime.errors import InvalidRequest
from runtime.models.files import write_atomically
from runtime.models.store import Store
from runtime.text.tokenizer import frame_of

_LANGUAGES = ("eng_Latn", "bul_Cyrl", "tha_Thai", "swh_Latn", "hin_Deva", "zho_Hans")
_CHUNK = 128
_WITHIN = 0.01
# As here: on the processor, keys and values in float32, no flash attention, which the tool does otherwise by itself.
_EXACT = ("-ngl", "0", "-fa", "off", "-ctk", "f32", "-ctv", "f32")
_ESTIMATE = re.compile(r"Final estimate: PPL = ([0-9.]+)")


def theirs(binary: str, model: Path, text: str) -> float:
    """The perplexity that llama-perplexity tells of a text.

    Raises:
        InvalidRequest: it cannot be run, or tells none.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "text.txt"
        path.write_text(text, encoding="utf-8")
        command = [binary, "-m", str(model), "-f", str(path), "-c", str(_CHUNK), "-b", str(_CHUNK), *_EXACT]
        try:
            done = subprocess.run(command, capture_output=True, text=True, check=False)  # named by who runs it
        except OSError as fault:
            raise InvalidRequest(f"{binary} cannot be run: {fault.strerror}.") from fault
    found = _ESTIMATE.search(done.stdout + done.stderr)
    if found is None:
        raise InvalidRequest(f"{binary} tells no perplexity: {done.stderr[-300:]}")
    return float(found[1])


def ours(model: OpenedDecoder, text: str) -> tuple[float, int]:
    """The perplexity of the same guesses, and how many there are."""
    before, after = frame_of(model.tokenizer)
    tokens = model.tokenizer.encode(text, parse_special=False)
    tokens = tokens[: len(tokens) - len(after)]
    bits, count = 0.0, 0
    for at in range(0, len(tokens) - _CHUNK + 1, _CHUNK):
        chunk = [*before, *tokens[at + len(before) : at + _CHUNK]]
        window = Window(chunk, len(before), _CHUNK // 2 + 1)
        bits += bits_of(window, model)
        count += len(chunk) - window.first
    return math.exp(bits * math.log(2) / count), count


def compare(binary: str, reference: str) -> dict[str, Any]:
    """Both perplexities in each language, and how far they are from each other."""
    card = ModelCard.read(Store().resolve(reference))
    text = declaration()
    texts = {language: "\n".join(text.lines[language] * 4) for language in _LANGUAGES}
    found = {}
    with open_model(card, ["a" * _CHUNK]) as model:
        if not isinstance(model, OpenedDecoder):
            raise InvalidRequest(f"{card.name} gives no probability to a text.")
        for language, each in texts.items():
            own, count = ours(model, each)
            other = theirs(binary, card.file.path, each)
            found[language] = {"guesses": count, "ours": own, "theirs": other, "difference": own / other - 1}
    return {
        "benchmark": "perplexity",
        "model": card.name,
        "chunk": _CHUNK,
        "worst": max(abs(each["difference"]) for each in found.values()),
        "languages": found,
        "machine": fingerprint(),
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """Compare, print, and write; the exit status is 1 where they differ by more than 1 %."""
    parser = argparse.ArgumentParser(description="Our likelihoods beside llama-perplexity's.")
    parser.add_argument("--binary", default="llama-perplexity", help="llama.cpp's tool")
    parser.add_argument("--model", default="gemma-3-270m", help="a model by its name or path")
    parser.add_argument("--output", type=Path, help="a file for the result")
    options = parser.parse_args(arguments)
    result = compare(options.binary, options.model)
    print(to_json(result))
    if options.output is not None:
        write_atomically(options.output, to_json(result) + "\n")
    return int(result["worst"] > _WITHIN)


if __name__ == "__main__":
    leave_with(main)
