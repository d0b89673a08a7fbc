"""sentence-transformers as the other side of `compare_encoders`; it runs in that package's own environment.

It imports nothing of this project. Each line of its standard input is a JSON object with `texts` and `batch`; it
answers with a line: the `seconds` that all texts took, and the `vectors`, float32 in base64, the lowest byte first.
"""

from __future__ import annotations

import argparse
import base64
import importlib
import json
import sys
import time
from typing import Any


def main() -> None:
    """Answer requests until there are no more."""
    parser = argparse.ArgumentParser()
    parser.add_argument("model")
    parser.add_argument("--threads", type=int, required=True)
    chosen = parser.parse_args()
    import numpy as np
    import torch

    torch.set_num_threads(chosen.threads)
    library: Any = importlib.import_module("sentence_transformers")
    model = library.SentenceTransformer(chosen.model, device="cpu")
    versions = {"sentence-transformers": library.__version__, "torch": str(torch.__version__)}
    print(json.dumps({"versions": versions}), flush=True)
    for line in sys.stdin:
        request = json.loads(line)
        texts, batch = request["texts"], request["batch"]
        options = {"batch_size": batch, "normalize_embeddings": True, "show_progress_bar": False}
        started = time.perf_counter()
        parts = [model.encode(texts[at : at + batch], **options) for at in range(0, len(texts), batch)]
        seconds = time.perf_counter() - started
        data = np.concatenate(parts).astype("<f4").tobytes()
        print(json.dumps({"seconds": seconds, "vectors": base64.b64encode(data).decode()}), flush=True)


if __name__ == "__main__":
    main()
