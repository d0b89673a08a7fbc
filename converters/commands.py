"""The bodies of the converters' commands: results on standard output, progress and notes on standard error."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from converters.architectures.options import Options
from converters.bodies import ending_like_an_interrupt, print_json, require_extra, tell
from runtime.commands.progress import progress_for
from runtime.errors import InvalidRequest

if TYPE_CHECKING:
    from converters.manifest import Manifest
    from converters.onnx.difference import Report


def convert(
    source: str,
    output: Path | None,
    type_name: str | None,
    options: Options,
    adapter: str | None,
    base: str | None,
    *,
    verify: bool,
    force: bool,
    as_json: bool,
) -> None:
    """Make a GGUF of a checkpoint or an adapter and say what came of it."""
    require_extra()
    from converters.convert import Request
    from converters.convert import convert as run
    from converters.shown import parity_line, print_fertility

    request = Request(source, output, type_name, adapter, base, force, verify, options)
    with ending_like_an_interrupt():
        done = run(request, progress_for(as_json=as_json))
    if as_json:
        print_json({"path": str(done.path), **asdict(done.manifest)})
        return
    for note in done.manifest.notes:
        tell(f"Note: {note}")
    if done.manifest.license is None:
        tell("Note: the source names no licence, so the file names none.")
    if done.manifest.parity is not None:
        tell(parity_line(done.manifest.parity))
    print(f"{done.path} ({done.manifest.size / 1e6:,.1f} MB, {done.manifest.type})")  # noqa: T201
    print_fertility(done.manifest.tokenizer["fertility"])


def export(
    source: str,
    output: Path | None,
    type_name: str | None,
    max_drop: float | None,
    adapter: str | None,
    pooling: str | None,
    unknown: list[str],
    optimum_python: Path | None,
    *,
    with_optimum: bool,
    dense: bool,
    force: bool,
    as_json: bool,
) -> None:
    """Make a folder of ONNX graphs of a checkpoint and say what came of it; `unknown` are options it has not."""
    require_extra("onnx", "onnxruntime")
    from converters.onnx.export import Request
    from converters.onnx.export import export as run
    from converters.onnx.optimum import find_optimum
    from converters.onnx.quantize import Shrinking
    from converters.onnx.shown import parity_line
    from converters.progress import steps_for

    if unknown:
        remedy = "Leave it out: graphs are made of a whole model, with the head that it has, and always compared."
        raise InvalidRequest(f"There is no {unknown[0]} with --to onnx.", remedy=remedy)
    given: dict[str, object] = {
        "--type": type_name, "--max-drop": max_drop, "--adapter": adapter, "--pooling": pooling,
        "--dense": dense or None,
    }  # fmt: skip
    if with_optimum and (others := [name for name, value in given.items() if value is not None]):
        raise InvalidRequest(
            f"There is no {others[0]} with --exporter optimum.", remedy="Leave it out, or export with demotic."
        )
    if optimum_python is not None and not with_optimum:
        raise InvalidRequest("--optimum-python is for --exporter optimum.", remedy="Add that, or leave it out.")
    if type_name is None and max_drop is not None:
        raise InvalidRequest("Graphs in float32 lose nothing, so there is no --max-drop.", remedy="Add --type int8.")
    is_whole = type_name is None or type_name.lower() in {"fp32", "f32"}
    shrinking = None if is_whole or type_name is None else Shrinking(type_name.lower(), max_drop=max_drop)
    optimum = find_optimum(optimum_python) if with_optimum else None
    with ending_like_an_interrupt():
        request = Request(source, output, adapter, pooling, force, shrinking, optimum, dense)
        done = run(request, progress_for(as_json=as_json), steps_for(as_json=as_json))
    if as_json:
        print_json({"path": str(done.path), **asdict(done.manifest)})
        return
    for note in done.manifest.notes:
        tell(f"Note: {note}")
    if done.manifest.license is None:
        tell("Note: the source names no licence, so the manifest names none.")
    tell(parity_line(done.manifest.parity or {}))
    _print_folder(done.path, done.manifest, done.report)


def shrink(
    source: Path,
    output: Path,
    type_name: str,
    embedding_type: str | None,
    rank: int | None,
    languages: str,
    max_drop: float | None,
    *,
    force: bool,
    as_json: bool,
) -> None:
    """Make smaller graphs of a folder that was exported and say what came of it."""
    require_extra("onnx", "onnxruntime")
    from converters.onnx.quantize import Request, Shrinking
    from converters.onnx.quantize import quantize as run
    from converters.progress import steps_for

    named = [each.strip() for each in languages.split(",") if each.strip()]
    wanted = Shrinking(type_name.lower(), embedding_type.lower() if embedding_type else None, rank, named, max_drop)
    with ending_like_an_interrupt():
        done = run(Request(source, output, wanted, force), steps_for(as_json=as_json))
    if as_json:
        print_json({"path": str(done.path), **asdict(done.manifest)})
        return
    for note in done.manifest.notes:
        tell(f"Note: {note}")
    _print_folder(done.path, done.manifest, done.report)


def _print_folder(path: Path, manifest: Manifest, report: Report | None) -> None:
    from converters.onnx.report import print_report, sentence

    if report is not None:
        print_report(report)
        tell(sentence(report))
    print(f"{path} ({manifest.size / 1e6:,.1f} MB, {manifest.type})")  # noqa: T201


def quantize(
    source: Path,
    output: Path,
    type_name: str,
    embedding_type: str | None,
    output_type: str | None,
    tensor_types: list[str],
    imatrix: Path | None,
    *,
    requantize: bool,
    force: bool,
    as_json: bool,
) -> None:
    """Make a smaller GGUF of one and say what came of it."""
    from converters.files import require_free, require_other, require_space, temporary_beside
    from converters.gguf.given import read_given
    from converters.gguf.quantize import Quantization, check_request
    from converters.gguf.quantize import quantize as run
    from converters.manifest import derived, write_manifest

    wanted = Quantization(
        type_name.upper(),
        embedding_type.upper() if embedding_type else None,
        output_type.upper() if output_type else None,
        dict(_override(text) for text in tensor_types),
    )
    check_request(wanted, has_matrix=imatrix is not None)
    given = read_given(imatrix) if imatrix is not None else None
    require_free(output, force=force)
    require_other(output, (source,))
    if source.is_file():
        require_space(output, source.stat().st_size)
    with ending_like_an_interrupt(), temporary_beside(output) as temporary:
        notes = run(source, temporary, wanted, requantize=requantize, given=given)
    manifest = derived(source, output, wanted.type, notes, imatrix=given.as_dict() if given is not None else None)
    write_manifest(output, manifest)
    if as_json:
        print_json({"path": str(output), **asdict(manifest)})
        return
    for note in notes:
        tell(f"Note: {note}")
    print(f"{output} ({source.stat().st_size / 1e6:,.1f} MB -> {manifest.size / 1e6:,.1f} MB, {wanted.type})")  # noqa: T201


def _override(text: str) -> tuple[str, str]:
    pattern, equals, name = text.rpartition("=")
    if not equals or not pattern or not name:
        remedy = 'For example: --tensor-type "ffn_down=Q6_K"'
        raise InvalidRequest(f"{text!r:.80} does not say NAME=TYPE.", remedy=remedy)
    return pattern, name.upper()


def calibrate(model: Path, output: Path, texts: list[str], mix: str, *, force: bool, as_json: bool) -> None:
    """Make an importance matrix of a model and say what came of it."""
    require_extra()
    from converters.calibration.calibrate import Request
    from converters.calibration.calibrate import calibrate as run
    from converters.calibration.shown import print_report
    from converters.progress import steps_for

    with ending_like_an_interrupt():
        done = run(Request(model, output, texts, mix, force), steps_for(as_json=as_json))
    if as_json:
        print_json({"path": str(done.path), "notes": done.notes, **done.report.as_dict()})
        return
    print_report(done.report)
    for note in done.notes:
        tell(f"Note: {note}")
    print(f"{done.path} ({done.report.num_tensors} tensors)")  # noqa: T201


def verify(first: str, second: str, *, as_json: bool) -> None:
    """Compare two artefacts and show the figures by language."""
    require_extra()
    from converters.shown import print_report
    from converters.verify import verify as run

    report = run(first, second, progress_for(as_json=as_json))
    if as_json:
        print_json(report.as_dict())
        return
    print_report(report)
