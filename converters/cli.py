"""The commands that make artefacts and compare them: convert, quantize, calibrate, verify; those of `adapt/cli.py`
and `bundles/cli.py`.

Only signatures and help texts live here, so that `demotic --help` imports nothing heavy; the bodies are in
`converters/commands.py`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

import converters.adapt.cli
import converters.bundles.cli
from converters.cli_options import Force, Json
from runtime.errors import InvalidRequest

MaxDrop = Annotated[
    float | None,
    typer.Option(
        metavar="SHARE",
        help="Graphs with a --type: write nothing where a language loses more than this, such as 0.01, of the cosine "
        "of its vectors or of its likeliest tokens.",
    ),
]


def register(app: typer.Typer) -> None:
    """Add the commands to the front door's `app`."""
    app.command("convert", help=_CONVERT_HELP)(_convert)
    app.command("quantize", help=_QUANTIZE_HELP)(_quantize)
    app.command("calibrate", help=_CALIBRATE_HELP)(_calibrate)
    converters.adapt.cli.register(app)
    converters.bundles.cli.register(app)
    app.command("verify", help=_VERIFY_HELP)(_verify)


_CONVERT_HELP = """Make a GGUF of a checkpoint, with its tokenizer inside, or of an adapter; or ONNX graphs.

The checkpoint is a folder with config.json, weights (safetensors, PyTorch's .bin, Flax's msgpack) and a tokenizer, or a
repository of the hub. What cannot be converted is refused, and nothing is left. The file must read texts in 139
languages as its source does, and what tokens each language takes is told. A manifest beside the file tells what it was
made from; `demotic show FILE` reads it.

An adapter (LoRA, DoRA) is a folder or a repository that PEFT saved. With --adapter it is merged into the weights.
As SOURCE it becomes a LoRA of its own, for `--adapter` of `demotic run` and `demotic serve`.

With --to onnx the checkpoint becomes a folder of graphs in float32, for onnxruntime: encoders with every head,
encoder-decoders, decoders and reward models. Each graph is held against its source; one that differs is never written.
With --type int8, int7, int4 or fp16 they are made smaller after that, as `demotic quantize` does it. With --exporter
optimum the exporter of Hugging Face's optimum makes the folder, in an environment of its own. An embedding of two
factors, as OFA's models have it, stays so unless --dense is given.

Examples:

  demotic convert ./my-finetune

  demotic convert hf:Qwen/Qwen3-0.6B --type q8_0 -o qwen3.gguf

  demotic convert hf:intfloat/multilingual-e5-small

  demotic convert hf:Qwen/Qwen3-Reranker-0.6B --reranker

  demotic convert hf:Qwen/Qwen3-0.6B --adapter ./legal-bg --type q8_0

  demotic convert ./legal-bg --base hf:Qwen/Qwen3-0.6B -o legal-bg.gguf

  demotic convert hf:facebook/nllb-200-distilled-600M --to onnx

  demotic convert hf:intfloat/multilingual-e5-small --to onnx --type int8 --max-drop 0.01
"""


def _convert(
    source: Annotated[
        str, typer.Argument(metavar="SOURCE", help=r"A checkpoint's or adapter's folder, or hf:org/repo\[@revision].")
    ],
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="PATH", help="Where to; else the source's name with the type."),
    ] = None,
    to: Annotated[
        Literal["gguf", "onnx"], typer.Option(help="The format: a GGUF file, or a folder with ONNX graphs.")
    ] = "gguf",
    type_name: Annotated[
        str | None,
        typer.Option(
            "--type",
            metavar="TYPE",
            help="What the weights are stored in: f32, f16, bf16, q8_0, q4_k_m and so on; else f16, an adapter f32. Of "
            "graphs: int8, int7, int4 or fp16; else fp32.",
        ),
    ] = None,
    max_drop: MaxDrop = None,
    exporter: Annotated[
        Literal["demotic", "optimum"], typer.Option(help="With --to onnx: who exports, demotic itself or optimum.")
    ] = "demotic",
    optimum_python: Annotated[
        Path | None,
        typer.Option(metavar="PATH", help="The Python that has optimum; else that of DEMOTIC_OPTIMUM_PYTHON."),
    ] = None,
    adapter: Annotated[
        str | None,
        typer.Option(metavar="ADAPTER", help="Merge this adapter of PEFT into the weights: a folder, or hf:org/repo."),
    ] = None,
    base: Annotated[
        str | None,
        typer.Option(metavar="BASE", help="The model of the adapter that is SOURCE; else the one that it names."),
    ] = None,
    pooling: Annotated[
        Literal["mean", "cls", "last"] | None,
        typer.Option(help="How a model of vectors makes them; else as the checkpoint says."),
    ] = None,
    reranker: Annotated[
        bool, typer.Option("--reranker", help="Make a reranker of a Qwen3 that answers yes or no.")
    ] = False,
    dense: Annotated[
        bool, typer.Option("--dense", help="With --to onnx: make one matrix of an embedding that is two factors.")
    ] = False,
    verify: Annotated[
        bool, typer.Option("--verify", help="Compute source and file, and say how near they are.")
    ] = False,
    force: Force = False,
    as_json: Json = False,
) -> None:
    from converters.architectures.options import Options
    from converters.commands import convert, export

    if to == "onnx":
        others = {"--base": base is not None, "--reranker": reranker, "--verify": verify}
        unknown = [name for name, is_given in others.items() if is_given]
        export(
            source, output, type_name, max_drop, adapter, pooling, unknown, optimum_python,
            with_optimum=exporter == "optimum", dense=dense, force=force, as_json=as_json,
        )  # fmt: skip
        return
    of_graphs = {
        "--max-drop": max_drop is not None,
        "--exporter optimum": exporter == "optimum",
        "--dense": dense,
    }
    if unknown := [name for name, is_given in of_graphs.items() if is_given]:
        raise InvalidRequest(f"There is no {unknown[0]} with a GGUF.", remedy="Add --to onnx.")
    options = Options(pooling=pooling, is_reranker=reranker)
    convert(
        source, output, type_name.lower() if type_name else None, options, adapter, base,
        verify=verify, force=force, as_json=as_json,
    )  # fmt: skip


_QUANTIZE_HELP = """Make a smaller GGUF of one in F16, BF16 or F32, or smaller ONNX graphs of a folder in float32.

TYPE is one of llama.cpp's: Q8_0, Q6_K, Q5_K_M, Q4_K_M, Q4_0, IQ4_NL and so on. Where the rows of a matrix do not fit
it, that matrix gets another type, and a line says so. With an importance matrix of `demotic calibrate` what matters
loses less; IQ1, IQ2, IQ3_XXS and Q2_K_S cannot be made without one.

Of a folder that `demotic convert --to onnx` made TYPE is int8, int7 (faster, and loses more), int4, fp16, or fp32 to
change the embedding alone. With int8, int7 and int4 the embedding is in int8 too. Both folders are computed on the same
text in several languages, and a report tells size, speed and what is lost in each.

Examples:

  demotic quantize model-F16.gguf model-Q4_K_M.gguf --type Q4_K_M

  demotic quantize model-F16.gguf model-IQ2_XS.gguf --type IQ2_XS --imatrix imatrix.gguf

  demotic quantize model-F16.gguf model.gguf --type Q4_K_M --embedding-type Q8_0 --tensor-type "ffn_down=Q6_K"

  demotic quantize e5-small-onnx e5-small-int8 --type int8 --languages bul,swh,hin --max-drop 0.01

  demotic quantize e5-small-onnx e5-small-narrow --type int8 --embedding-rank 128
"""


def _quantize(
    source: Annotated[Path, typer.Argument(metavar="IN", help="The GGUF, or the folder of graphs, to read.")],
    output: Annotated[Path, typer.Argument(metavar="OUT", help="The GGUF, or the folder, to write.")],
    type_name: Annotated[str, typer.Option("--type", metavar="TYPE", help="What the weights are stored in.")],
    embedding_type: Annotated[
        str | None,
        typer.Option(metavar="TYPE", help="What the embedding is stored in instead; of graphs int8 or fp32."),
    ] = None,
    output_type: Annotated[
        str | None, typer.Option(metavar="TYPE", help="What the output matrix is stored in instead.")
    ] = None,
    tensor_type: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=TYPE", help="What tensors whose name matches (a regular expression) are in; may be repeated."
        ),
    ] = None,
    imatrix: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="How much each column matters: of demotic calibrate or llama-imatrix."),
    ] = None,
    requantize: Annotated[
        bool, typer.Option("--requantize", help="Take a file that is quantized already, and lose more.")
    ] = False,
    embedding_rank: Annotated[
        int | None,
        typer.Option(
            metavar="RANK", help="Graphs: replace the embedding by two factors with so many columns and rows."
        ),
    ] = None,
    languages: Annotated[
        str, typer.Option(metavar="LANGUAGE,...", help="Graphs: what both are compared on; else the model's own.")
    ] = "",
    max_drop: MaxDrop = None,
    force: Force = False,
    as_json: Json = False,
) -> None:
    from converters.commands import quantize, shrink

    of_graphs = {
        "--embedding-rank": embedding_rank is not None,
        "--languages": bool(languages),
        "--max-drop": max_drop is not None,
    }
    of_gguf = {
        "--output-type": output_type is not None,
        "--tensor-type": bool(tensor_type),
        "--imatrix": imatrix is not None,
        "--requantize": requantize,
    }
    is_folder = source.is_dir()
    unknown = next((name for name, is_given in (of_gguf if is_folder else of_graphs).items() if is_given), None)
    if unknown is not None:
        raise InvalidRequest(f"There is no {unknown} with {'a folder of graphs' if is_folder else 'a GGUF'}.")
    if is_folder:
        shrink(
            source, output, type_name, embedding_type, embedding_rank, languages, max_drop,
            force=force, as_json=as_json,
        )  # fmt: skip
        return
    quantize(
        source, output, type_name, embedding_type, output_type, tensor_type or [], imatrix,
        requantize=requantize, force=force, as_json=as_json,
    )  # fmt: skip


_CALIBRATE_HELP = """Measure which weights matter for which languages.

It makes an importance matrix, for `demotic quantize --imatrix`: the model reads text of each language, and the squares
of what its matrices are multiplied by are summed up. A token counts as often as the weight of its language says (--mix;
1 where it is not named), and a text that occurs more than once by FineWeb2's rule. The report tells each language's
share, the tensors that the mix starves it in, and how languages disagree.

Examples:

  demotic calibrate model-F16.gguf -o imatrix.gguf --text ron=romanian.txt --text swa=swahili.txt

  demotic calibrate model-F16.gguf -o imatrix.gguf --text ron=ron.txt --text swa=swa.jsonl --mix ron=2,swa=5

  demotic calibrate model-F16.gguf
"""


def _calibrate(
    model: Annotated[Path, typer.Argument(metavar="MODEL", help="The GGUF, best in F16 or BF16.")],
    output: Annotated[Path, typer.Option("--output", "-o", metavar="FILE", help="Where to.")] = Path("imatrix.gguf"),
    text: Annotated[
        list[str] | None,
        typer.Option(
            metavar="LANGUAGE=FILE",
            help="Text of a language, a line each or JSONL; may be repeated. Else our own lines.",
        ),
    ] = None,
    mix: Annotated[
        str, typer.Option(metavar="LANGUAGE=WEIGHT,...", help="How often a token of a language counts; else once.")
    ] = "",
    force: Force = False,
    as_json: Json = False,
) -> None:
    from converters.commands import calibrate

    calibrate(model, output, text or [], mix, force=force, as_json=as_json)


_VERIFY_HELP = """Compare two artefacts of the same model: GGUF files, or checkpoints.

On a line of text in each of 41 languages: whether the token ids are the same, how far the logits differ (the largest
difference, KL divergence, share of positions with the same likeliest token), what a byte of the text costs each (bits
per byte), and how long greedy continuations agree. Of models that give vectors or scores, how far these differ. A
checkpoint is computed by transformers, in float32 and in this process.

Examples:

  demotic verify ./my-finetune my-finetune-F16.gguf

  demotic verify my-finetune-F16.gguf my-finetune-Q8_0.gguf --json
"""


def _verify(
    first: Annotated[str, typer.Argument(metavar="A", help="What it is compared with: a GGUF or a checkpoint.")],
    second: Annotated[str, typer.Argument(metavar="B", help="What is compared.")],
    as_json: Json = False,
) -> None:
    from converters.commands import verify

    verify(first, second, as_json=as_json)
