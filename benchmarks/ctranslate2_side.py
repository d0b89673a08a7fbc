"""CTranslate2's side of `benchmarks.compare_ctranslate2`, run by the Python of an environment that has it.

    python ctranslate2_side.py convert CHECKPOINT FOLDER
    python ctranslate2_side.py translate FOLDER THREADS

The second reads jobs from its standard input, a line of JSON each, and answers with seconds and tokens.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any


def convert(checkpoint: str, folder: str) -> None:
    """Make CTranslate2's files of an M2M100; torch and transformers must be importable."""
    import transformers
    from ctranslate2.converters.transformers import M2M100Loader  # type: ignore[import-not-found]  # not here

    model = transformers.M2M100ForConditionalGeneration.from_pretrained(checkpoint)
    loader, config = M2M100Loader(), model.config
    spec = loader.get_model_spec(model)
    tokens = [name_of(token) for token in range(config.vocab_size)]
    tokens[0], tokens[1], tokens[2], tokens[3] = "<s>", "<pad>", "</s>", "<unk>"
    loader.set_vocabulary(spec, tokens)
    spec.config.bos_token, spec.config.eos_token, spec.config.unk_token = "<s>", "</s>", "<unk>"
    spec.config.decoder_start_token = spec.config.eos_token
    spec.validate()
    spec.optimize(quantization=None)
    Path(folder).mkdir()
    spec.save(folder)


def translate(folder: str, threads: int) -> None:
    """Answer jobs until there are no more."""
    import ctranslate2  # type: ignore[import-not-found]  # as above

    translator = ctranslate2.Translator(
        folder, device="cpu", compute_type="float32", inter_threads=1, intra_threads=threads
    )
    print(json.dumps({"version": ctranslate2.__version__}), flush=True)
    for line in sys.stdin:
        job: dict[str, Any] = json.loads(line)
        sources = [[name_of(token) for token in source[:-1]] + ["</s>"] for source in job["sources"]]
        started = time.perf_counter()
        results = translator.translate_batch(
            sources,
            beam_size=job["num_beams"],
            max_batch_size=0,
            min_decoding_length=job["length"],
            max_decoding_length=job["length"],
        )
        seconds = time.perf_counter() - started
        tokens = [[id_of(token) for token in result.hypotheses[0]] for result in results]
        print(json.dumps({"seconds": seconds, "tokens": tokens}), flush=True)


def name_of(token: int) -> str:
    """What the vocabulary calls a token."""
    return f"w{token}"


def id_of(name: str) -> int:
    """The token that is called so; -1 for one that is no word."""
    return int(name[1:]) if name.startswith("w") else -1


if __name__ == "__main__":
    if sys.argv[1] == "convert":
        convert(*sys.argv[2:4])
    else:
        translate(sys.argv[2], int(sys.argv[3]))
