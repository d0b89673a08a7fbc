"""The body of the command in `cli.py`: the result on standard output, progress on standard error."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import msgspec

from converters.bodies import ending_like_an_interrupt, print_json, require_extra
from converters.bundles.pack import Request, pack
from runtime.commands.progress import progress_for
from runtime.errors import InvalidRequest
from runtime.models.recipe import Defaults
from runtime.models.store import Store

# What requests are drawn by; the other defaults have options of their own.
_SAMPLING = tuple(name for name in Defaults.__struct_fields__ if name not in {"language", "scripts", "mode", "system"})


def bundle(request: Request, sampling: Iterable[str], *, as_json: bool) -> None:
    """Pack a bundle and say what is in it."""
    if any(path is not None and path.is_dir() for path in (request.adapter, request.tokens)):
        require_extra()
    request = replace(request, options={**request.options, **_read_sampling(sampling)})
    with ending_like_an_interrupt():
        done = pack(request, Store(), progress_for(as_json=as_json))
    recipe = done.recipe
    if as_json:
        files = [str(path) for path in done.files]
        figures = {"num_new_rows": done.num_new_rows, "adapter_share": done.adapter_share}
        print_json({"path": str(done.path), "files": files, **figures, "recipe": msgspec.to_builtins(recipe)})
        return
    lines = [f"base: {recipe.base.reference} ({recipe.base.size / 1e6:,.1f} MB, not in the bundle)"]
    if recipe.adapter is not None and done.adapter_share is not None:
        share = f"{done.adapter_share:.3%} of the model's parameters"
        lines.append(f"adapter: {recipe.adapter.size / 1e6:,.1f} MB, {share}")
    if recipe.vocabulary is not None:
        made = f"{recipe.vocabulary.rows:,} rows, {done.num_new_rows:,} of them new"
        lines.append(f"vocabulary: {made}; the model that it makes has {recipe.vocabulary.made_size / 1e6:,.1f} MB")
    lines += [f"{path} ({path.stat().st_size / 1e6:,.2f} MB)" for path in (*done.files, done.path)]
    print("\n".join(lines))  # noqa: T201


def _read_sampling(texts: Iterable[str]) -> dict[str, float | int]:
    """Defaults from texts NAME=VALUE.

    Raises:
        InvalidRequest: one is none.
    """
    found: dict[str, float | int] = {}
    for text in texts:
        name, _, value = text.partition("=")
        try:
            if name not in _SAMPLING:
                raise ValueError
            found[name] = int(value) if name == "top_k" else float(value)
        except ValueError:
            raise InvalidRequest(
                f"'{text}' is no default of requests.", remedy=f"Write NAME=VALUE with {', '.join(_SAMPLING)}."
            ) from None
    return found
