"""The command that gives a model another tokenizer; its body is in `commands.py`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from converters.cli_options import Force, Json

HELP = """Give a checkpoint another tokenizer, with rows for its tokens to begin training with.

The result is a folder as transformers loads it: the new tokenizer, its embedding, head and biases, and settings with
its ids. It is not yet a better model of any language: it has to be trained on, and then `demotic convert` reads it.

Rows come from a --mapping that is ready, or from a --method. `overlap` (the default) copies tokens that both
tokenizers have, and draws the rest. `ofa` also mixes rows of tokens that stand in words with like vectors; with
--rank the embedding becomes two factors, which is many times smaller. `trans-tokenization` mixes those that a token
translates to, from a table of aligned words or from parallel text. Tokens with a role, such as the end of a text, get
the rows of that role.

The report tells how many rows were copied, mixed and drawn, how many tokens the same text takes before and after in
139 languages, and which old tokens some new ones are nearest to.

Examples:

  demotic transplant ./llama --tokenizer hf:FremyCompany/roberta-base-nl-oscar23 -o llama-nl --mapping en-nl.json

  demotic transplant ./xlm-roberta --tokenizer ./glot500 -o xlmr-ofa --method ofa --vectors colexnet.txt --rank 200

  demotic transplant ./llama --tokenizer bulgarian.json -o llama-bg --method trans-tokenization --alignments en-bg.tsv
"""


def transplant(
    model: Annotated[
        str, typer.Argument(metavar="MODEL", help=r"The checkpoint: a folder, or hf:org/repo\[@revision].")
    ],
    tokenizer: Annotated[
        str,
        typer.Option(metavar="TOKENIZER", help="The new one: a folder, a tokenizer.json, or hf:org/repo."),
    ],
    output: Annotated[Path, typer.Option("--output", "-o", metavar="FOLDER", help="Where to.")],
    method: Annotated[
        Literal["overlap", "ofa", "trans-tokenization"] | None,
        typer.Option(help="Where rows come from; else overlap, unless there is a --mapping."),
    ] = None,
    mapping: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="JSON: for each new id its token, and old tokens with weights."),
    ] = None,
    vectors: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="For ofa: vectors of words, word2vec's text or .npz."),
    ] = None,
    rank: Annotated[
        int | None,
        typer.Option(min=1, metavar="RANK", help="For ofa: two factors with so many columns and rows."),
    ] = None,
    alignments: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="For trans-tokenization: the table that fast_align -p writes."),
    ] = None,
    parallel: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="For trans-tokenization: text in both languages, a line each, to align."),
    ] = None,
    force: Force = False,
    as_json: Json = False,
) -> None:
    """The body is elsewhere, so that `demotic --help` imports nothing heavy."""
    from converters.adapt.transplant.commands import run

    run(model, tokenizer, output, method, mapping, vectors, rank, alignments, parallel, force=force, as_json=as_json)
