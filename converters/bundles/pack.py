"""A bundle put together: its parts held against each other, then written with their hashes beside the recipe."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from converters.bundles.evaluation import write_evaluation
from converters.bundles.vocabulary import OtherVocabulary, vocabulary_of_model, with_rows, write_vocabulary
from converters.files import folder_of_parts, require_free, scratch_beside
from runtime.chat.template import ChatTemplate, Message
from runtime.errors import ConversionRefused, InvalidRequest, ModelFileInvalid
from runtime.language.codes import parse
from runtime.models.adapter import check_adapter
from runtime.models.files import Progress, sha256_of
from runtime.models.gguf_copy import entries_of, number_entry, write_copy
from runtime.models.gguf_format import parse as parse_gguf
from runtime.models.header import Header
from runtime.models.inspect import check_loadable, read_header
from runtime.models.name import BUNDLE_SUFFIX
from runtime.models.recipe import (
    FORMAT,
    Base,
    Defaults,
    Part,
    Recipe,
    Vocabulary,
    check_recipe,
    read_small,
    write_recipe,
)
from runtime.models.store import ModelFile, Store
from runtime.models.vocabulary_part import make_model

if TYPE_CHECKING:
    from converters.adapters.peft import Adapter

_ALPHA = "adapter.lora.alpha"


@dataclass(frozen=True)
class Request:
    """What is asked for.

    base: as for `demotic run`. adapter: a GGUF, or a folder that PEFT saved, whose LoRA is multiplied by `scale`.
    trimmed, tokens: GGUF files that are the base with another vocabulary; or `tokens` is a folder that PEFT saved.
    languages: as a person names them. options: defaults of requests, by the names that the recipe has.
    """

    base: str
    output: Path
    name: str
    adapter: Path | None = None
    scale: float = 1.0
    trimmed: Path | None = None
    tokens: Path | None = None
    template: Path | None = None
    languages: tuple[str, ...] = ()
    evaluation: Path | None = None
    description: str = ""
    license: str | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    force: bool = False


@dataclass(frozen=True)
class Packed:
    """What came of it; `adapter_share` is the adapter's parameters by those of the base."""

    path: Path
    recipe: Recipe
    files: tuple[Path, ...]
    num_new_rows: int
    adapter_share: float | None


def pack(request: Request, store: Store, progress: Progress) -> Packed:
    """Write recipe and parts, or nothing.

    Raises:
        InvalidRequest, UnknownLanguage: something asked for is wrong.
        ModelNotFound, ModelFileInvalid, UnsupportedArchitecture: a file is not there or not sound.
        ConversionRefused: parts do not fit each other, or a file cannot be written.
    """
    output = request.output
    if not output.name.casefold().endswith(BUNDLE_SUFFIX):
        raise InvalidRequest(f"{output} does not end in {BUNDLE_SUFFIX}.", remedy=f"Choose -o NAME{BUNDLE_SUFFIX}.")
    require_free(output, force=request.force)
    store.check_new_name(request.name)
    base = store.resolve(request.base, progress=progress)
    reference = _reference(base, store, output)
    header = read_header(base.path)
    check_loadable(header)
    template = _template(request.template, header)
    peft = _peft(request)
    with ExitStack() as stack:
        parts = stack.enter_context(folder_of_parts(output, force=request.force))
        made = stack.enter_context(scratch_beside(output.with_name(f"{request.name}.gguf")))
        vocabulary, num_new = _vocabulary(request, base.path, peft, parts, made, progress)
        final = header if vocabulary is None else _loadable(made)
        adapter, share = _adapter(request, final, peft, parts, progress)
        recipe = Recipe(
            format=FORMAT,
            name=request.name,
            base=Base(reference, store.sha256(base, progress), base.path.stat().st_size),
            description=request.description,
            license=request.license or base.license or header.license,
            languages=tuple(dict.fromkeys(str(parse(name, param="--language")) for name in request.languages)),
            adapter=adapter,
            vocabulary=vocabulary,
            template=template,
            defaults=_defaults(request),
            evaluation=_evaluation(request, parts),
        )
        check_recipe(recipe, output)
        (parts / output.name).write_text(write_recipe(recipe), encoding="utf-8")
    files = tuple(output.parent / part.file for part in recipe.parts)
    return Packed(output, recipe, files, num_new, share)


def _reference(base: ModelFile, store: Store, output: Path) -> str:
    """How the recipe names its base.

    Raises:
        ConversionRefused: nobody else would find it.
    """
    if base.bundle is not None or not base.path.is_file():
        what = "a bundle" if base.bundle is not None else "a folder of graphs"
        raise ConversionRefused(f"{base.name} is {what}; a bundle is made of a GGUF.", remedy="Give its own base.")
    if (shared := store.shareable(base)) is not None:
        return shared
    folder, path = output.parent.resolve(), base.path.resolve()
    if not path.is_relative_to(folder):
        raise ConversionRefused(
            f"{base.path} is not in {folder}, so whoever has the bundle would not find it.",
            remedy="Put the base beside the bundle, or name a model of the hub or the catalogue.",
        )
    return path.relative_to(folder).as_posix()


def _template(path: Path | None, header: Header) -> str | None:
    """The source of a chat template that can be used.

    Raises:
        ModelFileInvalid: it cannot.
    """
    if path is None:
        return None
    try:
        source = read_small(path).decode()
    except UnicodeDecodeError as fault:
        raise ModelFileInvalid(f"{path} is not UTF-8.") from fault
    bos, eos = (header.token_text(f"tokenizer.ggml.{name}_token_id") for name in ("bos", "eos"))
    ChatTemplate(source, bos_token=bos, eos_token=eos).render([Message("user", "?")])
    return source


def _peft(request: Request) -> Adapter | None:
    """The adapter of PEFT that is given for LoRA, for tokens, or for both."""
    folders = [path for path in (request.adapter, request.tokens) if path is not None and path.is_dir()]
    if not folders:
        return None
    if len({path.resolve() for path in folders}) > 1:
        raise InvalidRequest("--adapter and --tokens are two adapters of PEFT.", remedy="Give one of them.")
    from converters.adapters.peft import open_adapter

    return open_adapter(str(folders[0]))


def _vocabulary(
    request: Request, base: Path, peft: Adapter | None, parts: Path, made: Path, progress: Progress
) -> tuple[Vocabulary | None, int]:
    """The file of another vocabulary, if there is one, with the model that it makes at `made`; and its new rows."""
    models = [path for path in (request.trimmed, request.tokens) if path is not None and not path.is_dir()]
    if len(models) > 1:
        raise InvalidRequest(
            "--trimmed and --tokens are two vocabularies.", remedy="Trim the model with the new tokens, and give that."
        )
    other: OtherVocabulary | None = vocabulary_of_model(base, models[0]) if models else None
    if request.trimmed is not None and other is not None and other.num_new:
        raise ConversionRefused(
            f"{request.trimmed} has {other.num_new} rows that {base.name} has not, so it was not trimmed from it.",
            remedy="Give the model that was trimmed; one with new tokens is given as --tokens.",
        )
    if peft is not None and (peft.tokens or peft.saved):
        from converters.bundles.tokens import changed_rows

        if changed := changed_rows(base, peft):
            other = with_rows(base, other, changed)
    if other is None:
        return None, 0
    path = parts / f"{request.name}.vocabulary.gguf"
    write_vocabulary(path, base, other)
    make_model(made, base, path, progress, title=f"the model of {request.name}")
    part, sha256 = _part(path), sha256_of(made)
    if request.trimmed is not None and not other.num_new and sha256 != sha256_of(request.trimmed):
        raise ConversionRefused(
            f"{request.trimmed} is not what {base.name} and its kept rows make: another program wrote it.",
            remedy="Make it with demotic trim.",
        )
    size, rows = made.stat().st_size, len(other.rows)
    return Vocabulary(part.file, part.sha256, part.size, rows, sha256, size), other.num_new


def _adapter(
    request: Request, model: Header, peft: Adapter | None, parts: Path, progress: Progress
) -> tuple[Part | None, float | None]:
    """The adapter's file, with its strength in it, and its share of the model's parameters."""
    if request.adapter is None:
        if request.scale != 1:
            raise InvalidRequest("--scale is for an adapter.", remedy="Give one with --adapter.")
        return None, None
    path = parts / f"{request.name}.adapter.gguf"
    given = request.adapter
    if peft is not None and given.is_dir():
        from converters.adapters.artefact import write_adapter

        if not peft.loras:
            raise ConversionRefused(f"{given} has rows of tokens and no LoRA.", remedy="Give it as --tokens.")
        given = parts / "lora.gguf"
        # Rows of tokens are the vocabulary's.
        write_adapter(replace(peft, tokens={}, saved={}), None, given, "f32", progress)
    check_adapter(given, model)
    file = parse_gguf(given)
    entries = entries_of(given, file)
    if request.scale != 1:
        alpha = file.metadata.get(_ALPHA)
        if not isinstance(alpha, float) or alpha == 0:
            raise ConversionRefused(f"{given} does not say its alpha, so it cannot be made weaker or stronger.")
        # The format has one strength a file: whoever computes with it needs to know of no other.
        entries[_ALPHA] = number_entry(alpha * request.scale, entries[_ALPHA])
    write_copy(path, given, file, entries, {}, progress, title=path.name)
    (parts / "lora.gguf").unlink(missing_ok=True)
    header = Header(path, file.version, file.alignment, file.metadata, file.tensors, file.file_size)
    return _part(path), header.parameter_count / model.parameter_count


def _evaluation(request: Request, parts: Path) -> Part | None:
    if request.evaluation is None:
        return None
    path = parts / f"{request.name}.evaluation.json"
    write_evaluation(request.evaluation, path)
    return _part(path)


def _defaults(request: Request) -> Defaults:
    """What requests get: answers are kept in the language where the bundle has one, unless something else is said.

    Raises:
        InvalidRequest: a value is none that a request may have.
    """
    options = dict(request.options)
    if len(request.languages) == 1 and "scripts" not in options:
        options.setdefault("language", str(parse(request.languages[0], param="--language")))
    try:
        return msgspec.convert(options, Defaults)
    except msgspec.ValidationError as fault:
        raise InvalidRequest(f"The defaults are not what requests may have: {fault}.") from fault


def _loadable(path: Path) -> Header:
    header = read_header(path)
    check_loadable(header)
    return header


def _part(path: Path) -> Part:
    return Part(path.name, sha256_of(path), path.stat().st_size)
