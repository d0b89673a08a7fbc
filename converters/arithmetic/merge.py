"""What `demotic merge` and `demotic transfer` are asked for, and which arithmetic that is."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from converters.adapters.peft import Adapter, read_adapter
from converters.arithmetic.adapted import with_adapters
from converters.arithmetic.combined import linear, with_delta, with_transfer
from converters.arithmetic.gguf import merge_gguf
from converters.arithmetic.numbers import numbers, scales
from converters.arithmetic.plan import Plan, require_free_target, write
from converters.checkpoint import CONFIG_FILE, Checkpoint, is_adapter, locate, open_checkpoint, read_checkpoint
from converters.manifest import Manifest
from converters.progress import StepProgress
from converters.verify import verify as compare
from runtime.errors import InvalidRequest
from runtime.models.files import Progress
from runtime.models.name import HUB_PREFIX, MODEL_SUFFIX
from runtime.models.store import Store


@dataclass(frozen=True)
class Request:
    """What is to be merged: `models` as a person names them, the base first.

    scale, weights: lists of numbers as the command line has them, empty where there are none.
    base: the checkpoint of PEFT's adapters, where the base is a GGUF.
    verify: None for a GGUF alone.
    """

    models: tuple[str, ...]
    output: Path
    scale: str = ""
    weights: str = ""
    base: str | None = None
    apply_delta: bool = False
    verify: bool | None = None
    force: bool = False


def merge(request: Request, progress: Progress, steps: StepProgress) -> Manifest:
    """Compute one model of others, and return what is told of it.

    Raises:
        InvalidRequest: what is asked for does not go together.
        ModelNotFound, DownloadFailed, ConfigurationInvalid: a model cannot be found.
        ModelFileInvalid, UnsupportedArchitecture, ConversionRefused: models do not fit each other, or cannot be read or
            written.
    """
    first, *others = request.models
    if not others:
        raise InvalidRequest("One model alone is not merged.", remedy="Name the base, then what is added to it.")
    if request.weights and request.apply_delta:
        raise InvalidRequest("--weights and --apply-delta are two ways to add models.", remedy="Give one of them.")
    if _is_checkpoint(first):
        return _merge_checkpoints(request, progress)
    if request.weights or request.apply_delta:
        raise InvalidRequest(
            f"{first} is a GGUF; models are added up as checkpoints.", remedy="Give the folders of the checkpoints."
        )
    return merge_gguf(
        Store().resolve(first).path,
        others,
        scales(request.scale, len(others)),
        request.output,
        request.base,
        progress,
        steps,
        verify=request.verify is not False,
        force=request.force,
    )


def transfer(
    base: str, finetuned: str, target: str, output: Path, scale: float, progress: Progress, *, force: bool
) -> Manifest:
    """Carry what a fine-tuning changed over to another model.

    Raises:
        InvalidRequest: the scale is no number.
        ModelNotFound, DownloadFailed, ConfigurationInvalid: a model cannot be found.
        ConversionRefused: models do not fit each other, or cannot be read or written.
    """
    if not math.isfinite(scale):
        raise InvalidRequest(f"{scale} is no scale.", remedy="Write --scale 1.0.")
    old, new, to = (open_checkpoint(name, progress) for name in (base, finetuned, target))
    return _write(output, with_transfer(old, new, to, scale, progress), progress, force=force)


def _merge_checkpoints(request: Request, progress: Progress) -> Manifest:
    first, *others = request.models
    if request.base is not None:
        raise InvalidRequest(f"{first} is a checkpoint, so it is the base.", remedy="Leave out --base.")
    if request.weights or request.apply_delta:
        unknown = {"--scale": bool(request.scale), "--verify": request.verify is True}
        if wrong := [name for name, is_given in unknown.items() if is_given]:
            raise InvalidRequest(f"{wrong[0]} is for adapters.", remedy=f"Leave out {wrong[0]}.")
        opened = [_open_model(name, progress) for name in request.models]
        if not request.apply_delta:
            plan = linear(opened, numbers(request.weights, "--weights"), progress)
        elif len(opened) == 2:
            plan = with_delta(*opened)
        else:
            raise InvalidRequest("--apply-delta adds one difference to one base.", remedy="Name two models.")
        return _write(request.output, plan, progress, force=request.force)
    base = open_checkpoint(first, progress)
    adapters = [_open_adapter(name, progress) for name in others]
    plan, exact = with_adapters(base, adapters, scales(request.scale, len(others)))
    folders = tuple(adapter.folder for adapter in adapters)
    check = (lambda folder: _parity(exact, folder, progress)) if request.verify else None
    return _write(request.output, plan, progress, folders, check, force=request.force)


def _write(
    output: Path,
    plan: Plan,
    progress: Progress,
    folders: tuple[Path, ...] = (),
    check: Callable[[Path], dict[str, Any]] | None = None,
    *,
    force: bool,
) -> Manifest:
    require_free_target(output, plan, folders, force=force)
    return write(output, plan, progress, check)


def _parity(exact: Checkpoint, folder: Path, progress: Progress) -> dict[str, Any]:
    """How near what was written is to the sum in float32."""
    found = compare(exact, str(folder), progress).as_dict()
    return {key: value for key, value in found.items() if key not in {"first", "second"}}


def _is_checkpoint(name: str) -> bool:
    """Whether a name is a folder's or a repository's of the hub; others are those of GGUF files."""
    is_file = name.casefold().endswith(MODEL_SUFFIX)
    return not is_file and (name[: len(HUB_PREFIX)].casefold() == HUB_PREFIX or Path(name).expanduser().is_dir())


def _open_model(name: str, progress: Progress) -> Checkpoint:
    folder, origin = locate(name, progress)
    if is_adapter({path.name for path in folder.iterdir()}):
        raise InvalidRequest(
            f"{name} is an adapter, not a whole model.", remedy="Leave out --weights and --apply-delta to merge it."
        )
    return read_checkpoint(folder, origin)


def _open_adapter(name: str, progress: Progress) -> Adapter:
    if name.casefold().endswith(MODEL_SUFFIX):
        raise InvalidRequest(
            f"{name} is a GGUF; what goes into a checkpoint is an adapter as PEFT saved it.",
            remedy="Give that folder, or a GGUF as the base.",
        )
    folder, origin = locate(name, progress)
    names = {path.name for path in folder.iterdir()}
    if CONFIG_FILE in names and not is_adapter(names):
        raise InvalidRequest(
            f"{name} is a whole model, not an adapter.",
            remedy="Add --weights 0.5,0.5 for an average, or --apply-delta where it is a difference.",
        )
    return read_adapter(folder, origin)
