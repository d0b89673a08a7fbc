"""The commands that measure quality: eval, and eval pick; others add theirs to the group.

Only their signatures, help texts and defaults live here, so that `demotic --help` imports nothing heavy; the bodies
are in `command.py` and `pick.py`.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from benchmarks.group import ModelsOrCommand
from benchmarks.lists import numbers, one_of, words

if TYPE_CHECKING:
    from benchmarks.quality.metrics import Metric

_METRICS: tuple[Metric, ...] = ("bpb", "tokenizer", "mexa", "ranker")
# The backslashes keep rich from reading the brackets as markup.
_MODEL_HELP = (
    r"A path to a GGUF or a folder of graphs, a catalogue name, or hf:org/repo\[@revision]\[:file-or-quantization]. "
    "Without any, the default model."
)
Languages = Annotated[
    list[str] | None,
    typer.Option(metavar="LANGUAGE,...", help="Which languages of the text, as in bul,sw,Thai.", show_default="all"),
]
Parallel = Annotated[
    list[Path] | None,
    typer.Option(
        metavar="FILE",
        help="Text of your own: a .jsonl or .tsv with a column a language, or a file a language; may be repeated.",
        show_default="the Universal Declaration of Human Rights, articles 1 to 5",
    ),
]
Output = Annotated[
    Path | None,
    typer.Option("--output", "-o", help="A file that keeps the figures; a later run goes on with it."),
]
Json = Annotated[bool, typer.Option("--json", help="The same as --format json.")]


def register(app: typer.Typer) -> typer.Typer:
    """Add the group to the front door's `app`; it is returned, for commands of other modules."""
    group = typer.Typer(
        cls=ModelsOrCommand, invoke_without_command=True, subcommand_metavar="| COMMAND ...", help=_EVAL_HELP
    )
    group.callback(help=_EVAL_HELP)(_eval)
    group.command("pick", help=_PICK_HELP)(_pick)
    app.add_typer(group, name="eval")
    return group


_EVAL_HELP = """Measure how good models are, language by language, on the same sentences in each.

bpb: bits per byte, what a text costs the model. tokenizer: tokens by word and by those of English, byte fallback,
characters by token. mexa, ranker: how near the hidden states of a sentence are to those of the English one (MEXA and
Language Ranker), layer by layer.

With --against, a quantized, trimmed or adapted model is held against its source: the change in bits per byte, the KL
divergence of its guesses, and how often both find the same token likeliest. What is measured is kept in --output as it
comes, so that a run that was stopped goes on. docs/evaluating.md says what each figure means.

Examples:

  demotic eval gemma-3-270m --output gemma.json --plot gemma.svg

  demotic eval gemma-Q4_K_M.gguf --against gemma-F16.gguf --languages bul,swh,tha --metrics bpb,mexa

  demotic eval mine.gguf --parallel flores.tsv --metrics mexa --layers 5,10,15
"""


def _eval(
    ctx: typer.Context,
    models: Annotated[list[str] | None, typer.Argument(metavar="MODEL...", help=_MODEL_HELP)] = None,
    against: Annotated[str | None, typer.Option(metavar="SOURCE", help="The model that they were made of.")] = None,
    languages: Languages = None,
    parallel: Parallel = None,
    metrics: Annotated[
        list[str] | None,
        typer.Option(
            metavar="METRIC,...",
            help="Of bpb, tokenizer, mexa and ranker.",
            show_default="all that can be had of a model",
        ),
    ] = None,
    layers: Annotated[
        list[str] | None,
        typer.Option(
            metavar="LAYER,...",
            help="Which layers mexa and ranker are the mean of; 0 are the embeddings.",
            show_default="all, of ranker without 0",
        ),
    ] = None,
    output: Output = None,
    plot: Annotated[Path | None, typer.Option(help="A heat map, language by metric: .svg or .png.")] = None,
    form: Annotated[Literal["md", "csv", "json"], typer.Option("--format", help="Of what is printed.")] = "md",
    as_json: Json = False,
) -> None:
    if ctx.invoked_subcommand is not None:
        return
    from benchmarks.quality.command import Shown, evaluate
    from benchmarks.quality.evaluate import Request

    request = Request(
        models=tuple(models or ()),
        source=against,
        languages=words(languages),
        parallel=tuple(parallel or ()),
        metrics=one_of(metrics, "--metrics", _METRICS),
        layers=numbers(layers, "--layers", least=0),
        output=output,
    )
    raise typer.Exit(evaluate(request, Shown("json" if as_json else form, plot)))


_PICK_HELP = """Name the smallest of several artefacts that loses little in the languages that you need, and say why.

The artefacts are measured on the same sentences as their source, the smallest first, until one loses no more than
--within in each of the languages: by bits per byte, by the share of likeliest tokens that are others, or by MEXA. Why
the smaller ones were not taken is told. The exit status is 1 where none stays within.

Examples:

  demotic eval pick gemma-*.gguf --against gemma-F16.gguf --within 1% --languages bul,eng

  demotic eval pick *.gguf --against source.gguf --within 5% --by top-1 --parallel mine.tsv --output kept.json
"""


def _pick(
    files: Annotated[list[str], typer.Argument(metavar="FILES...", help="The artefacts: paths, or names as above.")],
    against: Annotated[str, typer.Option(metavar="SOURCE", help="The model that they were made of.")],
    within: Annotated[str, typer.Option(help="The most that a language may lose, as in 1% or 0.01.")] = "1%",
    languages: Languages = None,
    parallel: Parallel = None,
    by: Annotated[
        Literal["bpb", "top-1", "mexa"],
        typer.Option(help="What must not be lost: bits per byte, the likeliest tokens, or MEXA."),
    ] = "bpb",
    output: Output = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document instead of Markdown.")] = False,
) -> None:
    from benchmarks.quality.evaluate import Request
    from benchmarks.quality.pick import run

    request = Request(
        models=tuple(files),
        source=against,
        languages=words(languages),
        parallel=tuple(parallel or ()),
        metrics=("mexa",) if by == "mexa" else ("bpb",),
        output=output,
    )
    raise typer.Exit(run(request, within, by, as_json=as_json))
