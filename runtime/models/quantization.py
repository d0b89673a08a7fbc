"""Which of a repository's files to take: quantizations read from file names, and the choice among them."""

from __future__ import annotations

import re
from collections.abc import Sequence

from runtime.errors import InvalidRequest, ModelNotFound
from runtime.models.name import MODEL_SUFFIX, HubFile

# Where the person names none: the usual balance first, then what loses least, then unquantized.
PREFERRED = ("Q4_K_M", "Q8_0", "Q5_K_M", "Q4_0", "F16", "BF16", "F32")

_QUANTIZATION = re.compile(
    r"(?<![a-z0-9])(q[1-8]_[01](?:_[48]_[48])?|q[1-8]_k(?:_(?:xs|s|m|l|xl))?|iq[1-4]_(?:xxs|xs|s|m|nl)|tq[12]_0|bf16|"
    r"fp?16|fp?32)(?![a-z0-9])",
    re.IGNORECASE,
)
_SPLIT = re.compile(r"-\d{5}-of-\d{5}\.gguf$", re.IGNORECASE)
_SHOWN = 12


def quantization_of(file: str) -> str | None:
    """The quantization in a file's name, such as Q4_K_M, in upper case; None where it names none."""
    found = _QUANTIZATION.findall(file.rsplit("/", 1)[-1])
    return _normal(found[-1]) if found else None


def is_model_file(file: str) -> bool:
    """Whether the file is a GGUF of a model: not a vision projector and not an importance matrix."""
    name = file.rsplit("/", 1)[-1].casefold()
    return name.endswith(MODEL_SUFFIX) and "mmproj" not in name and "imatrix" not in name


def choose_file(wanted: HubFile, files: Sequence[str]) -> str:
    """The one file of a repository to take for what a person asked for.

    Raises:
        ModelNotFound: the repository has no such file; those that it has are listed.
        InvalidRequest: several would do, or the file is split into parts.
    """
    models = [file for file in files if is_model_file(file)]
    if wanted.file is not None:
        same = [file for file in models if file == wanted.file]
    elif wanted.quantization is not None:
        same = [file for file in models if quantization_of(file) == _normal(wanted.quantization)]
    else:
        same = _preferred([file for file in models if not _SPLIT.search(file)] or models)
    whole = [file for file in same if not _SPLIT.search(file)]
    if len(whole) == 1:
        return whole[0]
    if whole:
        raise InvalidRequest(
            f"{wanted} fits {len(whole)} files.",
            remedy=f"Name one of them: {_listed(whole, wanted.repo)}.",
            param="model",
        )
    if same:
        raise InvalidRequest(
            f"{same[0]} of {wanted.repo} is a part of a model that is split into files, which is not supported.",
            remedy="Choose a smaller quantization, or a repository with the model in one file.",
            param="model",
        )
    raise ModelNotFound(str(wanted), remedy=_what_there_is(wanted.repo, models))


def _normal(quantization: str) -> str:
    upper = quantization.upper()
    return {"FP16": "F16", "FP32": "F32"}.get(upper, upper)


def _preferred(files: list[str]) -> list[str]:
    for quantization in PREFERRED:
        if found := [file for file in files if quantization_of(file) == quantization]:
            return found
    return files


def _what_there_is(repo: str, models: list[str]) -> str:
    if not models:
        return f"{repo} holds no GGUF file; look for a repository of the same model whose name ends in -GGUF."
    return f"{repo} holds {_listed(models, repo)}."


def _listed(files: list[str], repo: str) -> str:
    shown = ", ".join(files[:_SHOWN])
    rest = len(files) - _SHOWN
    return f"{shown} and {rest} more (see https://huggingface.co/{repo}/tree/main)" if rest > 0 else shown
