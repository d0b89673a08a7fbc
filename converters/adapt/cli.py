"""The commands that change what a model knows and for whom it is: trim, merge, transfer; transplant elsewhere.

Only signatures and help texts live here, as in `converters/cli.py`; the bodies are in `converters/adapt/commands.py`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

import converters.adapt.transplant.cli
from converters.cli_options import Force, Json


def register(app: typer.Typer) -> None:
    """Add the commands to the front door's `app`."""
    app.command("trim", help=_TRIM_HELP)(_trim)
    app.command("transplant", help=converters.adapt.transplant.cli.HELP)(converters.adapt.transplant.cli.transplant)
    app.command("merge", help=_MERGE_HELP)(_merge)
    app.command("transfer", help=_TRANSFER_HELP)(_transfer)


_TRIM_HELP = """Make a smaller and faster model for some languages: keep only the tokens that they need.

What is trimmed is a GGUF, a folder of ONNX graphs, or the folder of a checkpoint, and it becomes another of its kind.
Rows of the embedding and of the head are copied bit for bit, quantized as they are; every id beside them is counted
anew. What the languages need is counted in a corpus, one line in ten of which is held out and told about. Without a
corpus, lists of words (the extra 'trim') and alphabets stand in. Kept tokens stay reachable, bytes and control tokens
always stay, and other text is cut into smaller pieces.

The result is proved before it gets its name: texts whose tokens are all kept are read alike, logits are equal to the
source's to the bit, and continuations are equal to those of the source among the kept rows.

Examples:

  demotic trim gemma-3-270m -o gemma-bul.gguf --corpus bul=bulgarian.txt --corpus eng=english.txt

  demotic trim gemma-3-270m -o gemma-tha.gguf --languages tha,eng --size 32768

  demotic trim model.gguf -o smaller.gguf --scripts Cyrl,Latn --keep terms.txt --adapter legal.gguf

  demotic trim ./xlmr-onnx -o ./xlmr-afro --scripts Latn,Ethi,Arab --corpus hau=hausa.txt --corpus amh=amharic.txt
"""


def _trim(
    model: Annotated[
        str, typer.Argument(metavar="MODEL", help="A GGUF, by its path or a name as for demotic run; or a folder.")
    ],
    output: Annotated[Path, typer.Option("--output", "-o", metavar="PATH", help="Where to.")],
    languages: Annotated[
        str, typer.Option(metavar="LANGUAGE,...", help="Which languages it is for, as in bul,eng.")
    ] = "",
    corpus: Annotated[
        list[str] | None,
        typer.Option(metavar=r"\[LANGUAGE=]FILE", help="Text to count tokens in, UTF-8; may be repeated."),
    ] = None,
    size: Annotated[int | None, typer.Option(min=1, metavar="ROWS", help="Keep at most so many rows.")] = None,
    coverage: Annotated[
        float | None,
        typer.Option(
            min=0.0,
            max=1.0,
            metavar="SHARE",
            help="Keep the most frequent tokens up to this share of each text; else all of a corpus.",
        ),
    ] = None,
    scripts: Annotated[
        str, typer.Option(metavar="SCRIPT,...", help="Drop tokens with letters of other scripts, as in Cyrl,Latn.")
    ] = "",
    keep: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Tokens, ids or words that stay as well, a line each.")
    ] = None,
    adapter: Annotated[
        list[Path] | None,
        typer.Option(metavar="PATH", help="A LoRA of the model, to be made one of the new one; may be repeated."),
    ] = None,
    verify: Annotated[bool, typer.Option("--verify/--no-verify", help="Compute both, and refuse what differs.")] = True,
    force: Force = False,
    as_json: Json = False,
) -> None:
    from converters.adapt.commands import trim

    trim(
        model,
        output,
        languages,
        corpus or [],
        size,
        coverage,
        scripts,
        keep,
        adapter or [],
        verify=verify,
        force=force,
        as_json=as_json,
    )


_MERGE_HELP = """Compute the weights of one model of others: adapters into a base, averages, differences.

BASE with adapters: what LoRA or DoRA adapters of PEFT change goes into the weights of a checkpoint, which stays one for
transformers, each value in the type that it had. Where BASE is a GGUF, adapters are GGUF files or PEFT's: the matrices
that they change are decoded, changed and quantized anew in their own types, all others are copied bit for bit. What
that loses is told for each, and the file is computed beside the base with the adapters (--verify, on by default).

With --weights models are added up, each times its weight; tokenizer and config are the first one's. With --apply-delta
the second is a difference that is added to the first, and brings config and tokenizer.

Examples:

  demotic merge ./llama ./legal-bg -o llama-legal

  demotic merge gemma-3-270m legal-bg.gguf -o gemma-legal.gguf

  demotic merge qwen.gguf law.gguf medicine.gguf -o both.gguf --scale 1,0.5

  demotic merge ./egyptian ./moroccan -o both --weights 0.5,0.5

  demotic merge ./llama-7b ./bayling-7b-diff -o bayling-7b --apply-delta
"""


def _merge(
    models: Annotated[
        list[str],
        typer.Argument(
            metavar="BASE MODEL...",
            help=r"The base, then adapters, models or a difference: a folder, hf:org/repo\[@revision], or a GGUF.",
        ),
    ],
    output: Annotated[Path, typer.Option("--output", "-o", metavar="PATH", help="Where to: a folder, or a GGUF.")],
    scale: Annotated[
        str, typer.Option(metavar="NUMBER,...", help="How strong adapters are: one for all or one for each; else 1.")
    ] = "",
    weights: Annotated[
        str, typer.Option(metavar="NUMBER,...", help="Add the models up, each times its weight, as in 0.5,0.5.")
    ] = "",
    apply_delta: Annotated[
        bool, typer.Option("--apply-delta", help="Add the second, a difference of weights, to the first.")
    ] = False,
    base: Annotated[
        str | None,
        typer.Option(
            metavar="BASE",
            help="With a GGUF that does not say enough: the checkpoint of PEFT's adapters; else the one they name.",
        ),
    ] = None,
    verify: Annotated[
        bool | None,
        typer.Option(
            "--verify/--no-verify",
            help="Compute the result beside the base with its adapters: of a GGUF unless told otherwise.",
        ),
    ] = None,
    force: Force = False,
    as_json: Json = False,
) -> None:
    from converters.adapt.commands import merge

    merge(models, output, scale, weights, base, apply_delta=apply_delta, verify=verify, force=force, as_json=as_json)


_TRANSFER_HELP = """Carry what a fine-tuning changed over to another version of its base.

It writes target + scale (finetuned - base), tensor by tensor: a model that was tuned for a language on one version gets
the next version's knowledge without being tuned again. Config and types are the target's, tokenizer and chat template
the fine-tuned model's; where that has more rows of tokens, its own are taken. It works where base and target come from
the same training, and a note says where they look otherwise.

Examples:

  demotic transfer --base hf:org/llama-3 --finetuned ./llama-3-bg --target hf:org/llama-3.1 -o llama-3.1-bg

  demotic transfer --base ./v1 --finetuned ./v1-bul --target ./v2 -o v2-bul --scale 0.8
"""


def _transfer(
    base: Annotated[str, typer.Option(metavar="A", help="The model that was tuned.")],
    finetuned: Annotated[str, typer.Option(metavar="A2", help="What came of it.")],
    target: Annotated[str, typer.Option(metavar="B", help="The model that gets the change.")],
    output: Annotated[Path, typer.Option("--output", "-o", metavar="FOLDER", help="Where to.")],
    scale: Annotated[float, typer.Option(help="How much of the change it gets.")] = 1.0,
    force: Force = False,
    as_json: Json = False,
) -> None:
    from converters.adapt.commands import transfer

    transfer(base, finetuned, target, output, scale, force=force, as_json=as_json)
