"""The commands that measure: bench, and below it serve, tools, compare and submit-card.

Those below `eval` are in `quality/cli.py` and `tasks/cli.py`.

Only their signatures, help texts and defaults live here, so that `demotic --help` imports nothing heavy; the bodies
are in `benchmarks/speed/`, `benchmarks/languages/`, `benchmarks/load.py`, `benchmarks/against.py` and
`benchmarks/tools.py`.
"""

from __future__ import annotations

import dataclasses
import shlex
import sys
from pathlib import Path
from typing import Annotated, Literal

import typer

import benchmarks.quality.cli
import benchmarks.tasks.cli
from benchmarks.group import ModelsOrCommand
from runtime.config import ServerConfig
from runtime.errors import InvalidRequest

_SERVER = ServerConfig()

# The backslashes keep rich from reading the brackets as markup.
_MODEL_HELP = (
    r"A path to a GGUF, a catalogue name, or hf:org/repo\[@revision]\[:file-or-quantization]. "
    "Without any, the default model."
)
Url = Annotated[str, typer.Option(help="Address of the endpoint.")]
Key = Annotated[str, typer.Option(help="Its key.", envvar="DEMOTIC_API_KEY", show_default=False)]
Served = Annotated[str | None, typer.Option(help="A served model; without it, the first that it lists.")]
Timeout = Annotated[float, typer.Option(min=0.1, help="Seconds without a byte after which a request failed.")]
Force = Annotated[bool, typer.Option("--force", help="Overwrite a file that is there.")]
_URL = f"http://{_SERVER.host}:{_SERVER.port}/v1"
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document instead of Markdown.")]


def register(app: typer.Typer) -> None:
    """Add the commands to the front door's `app`."""
    bench = typer.Typer(
        cls=ModelsOrCommand, invoke_without_command=True, subcommand_metavar="| COMMAND ...", help=_SPEED_HELP
    )
    bench.callback(help=_SPEED_HELP)(_speed)
    bench.command("serve", help=_LOAD_HELP)(_load)
    bench.command("tools", help=_TOOLS_HELP)(_tools)
    bench.command("compare", help=_COMPARE_HELP)(_compare)
    bench.command("submit-card", help=_CARD_HELP)(_card)
    app.add_typer(bench, name="bench")
    benchmarks.tasks.cli.register(benchmarks.quality.cli.register(app))


_SPEED_HELP = """Measure how fast models are on this machine, in this process.

Prompt and generation tokens/s, characters/s, times to the first token and between tokens, loading time, memory, energy
where it can be read, and what the time goes to: medians, with the least and the most. Prompts are never repeated.
Lists such as 1,4,8 are swept: all combinations take turns. It warns where the machine is noisy or throttles. Ctrl-C
ends with what was measured so far.

With --languages it measures what the same text costs in each language: characters, graphemes and bytes a second,
characters per token, and how many times the cheapest language's time, for prompts and for answers.

`demotic bench serve` measures an endpoint under load, and `demotic bench tools` how well it calls tools; `compare` sets
results side by side, and `submit-card` makes one fit to be posted. Each shows its options with --help.

Examples:

  demotic bench

  demotic bench smollm2-135m-instruct gemma-3-270m --quick

  demotic bench gemma-3-270m --batch 1,4,8 --threads 1,2 --format json --output here.json

  demotic bench model-Q4_K_M.gguf model-Q8_0.gguf --kv-type f16,q8_0 --plot speed.svg

  demotic bench gemma-3-270m --languages bul,tha,amh,eng

  demotic bench gemma-3-270m --languages all --plot languages.svg
"""


def _speed(
    ctx: typer.Context,
    models: Annotated[list[str] | None, typer.Argument(metavar="MODEL...", help=_MODEL_HELP)] = None,
    quick: Annotated[
        bool, typer.Option("--quick", help="Fewer lengths and repetitions; says what it leaves out.")
    ] = False,
    prompt_tokens: Annotated[
        list[str] | None, typer.Option(help="Lengths of prompts.", metavar="N,...", show_default="64,512")
    ] = None,
    output_tokens: Annotated[
        list[str] | None, typer.Option(help="Lengths of answers.", metavar="N,...", show_default="64")
    ] = None,
    batch: Annotated[
        list[str] | None, typer.Option(help="How many sequences at once.", metavar="N,...", show_default="1")
    ] = None,
    threads: Annotated[
        list[str] | None, typer.Option(help="How many threads compute.", metavar="N,...", show_default="planned")
    ] = None,
    kv_type: Annotated[
        list[str] | None, typer.Option(help="Types of the KV cache: f32, f16, q8_0.", metavar="TYPE,...")
    ] = None,
    devices: Annotated[
        list[str] | None, typer.Option(help="What computes: cpu, cuda, metal, vulkan.", metavar="DEVICE,...")
    ] = None,
    languages: Annotated[
        list[str] | None,
        typer.Option(help="Measure what the same text costs in these, or in all.", metavar="LANGUAGE,...|all"),
    ] = None,
    parallel: Annotated[
        list[Path] | None,
        typer.Option(help="Text of your own for that: a file a language, aligned by line, or .tsv, .jsonl."),
    ] = None,
    repetitions: Annotated[
        int | None, typer.Option(min=1, help="How often to measure each thing.", show_default="5; by language 3")
    ] = None,
    warm_up: Annotated[int, typer.Option(min=0, help="Requests after each loading that do not count.")] = 1,
    form: Annotated[Literal["md", "csv", "json", "jsonl"], typer.Option("--format", help="Of the result.")] = "md",
    output: Annotated[Path | None, typer.Option(help="A file for the result, instead of printing it.")] = None,
    plot: Annotated[
        Path | None, typer.Option(help="A picture of the generation speed, or of languages, .svg or .png.")
    ] = None,
    force: Force = False,
    as_json: Json = False,
) -> None:
    if ctx.invoked_subcommand is not None:
        return
    from benchmarks.lists import numbers, one_of, words
    from benchmarks.speed.command import Outlet, bench
    from benchmarks.speed.plan import KV_TYPES, QUICK, SpeedPlan
    from runtime.hardware.plan import MAX_SEQUENCES

    base = QUICK if quick else SpeedPlan()
    plan = dataclasses.replace(
        base,
        prompt_tokens=numbers(prompt_tokens, "--prompt-tokens", least=4) or base.prompt_tokens,
        output_tokens=numbers(output_tokens, "--output-tokens", least=2) or base.output_tokens,
        batches=numbers(batch, "--batch", most=MAX_SEQUENCES) or base.batches,
        threads=numbers(threads, "--threads"),
        kv_types=one_of(kv_type, "--kv-type", KV_TYPES),
        devices=words(devices),
        repetitions=repetitions or base.repetitions,
        warm_up=warm_up,
    )
    outlet = Outlet("json" if as_json else form, output, plot, force)
    if not languages and not parallel:
        raise typer.Exit(bench(models or [], plan, outlet))
    from benchmarks.languages.command import bench as bench_languages
    from benchmarks.languages.measure import LanguagePlan

    if prompt_tokens or output_tokens or batch:
        raise typer.BadParameter("Texts of languages have lengths of their own, and are read one at a time.")
    by_language = LanguagePlan(repetitions=repetitions or (1 if quick else 3), warm_up=warm_up)
    raise typer.Exit(bench_languages(models or [], words(languages), parallel or [], plan, by_language, outlet))


_COMPARE_HELP = """Set results of `demotic bench` side by side: ratios to the first one, with how sure they are.

Each ratio has an interval that holds 95 % of what resampling the repetitions gives (bootstrap), and what differs
between the machines and settings is listed. Results that are not of the same work, such as another model or other
lengths, are refused.

Examples:

  demotic bench compare here.json there.json

  demotic bench compare before.json after.json --json
"""


def _compare(
    results: Annotated[list[Path], typer.Argument(metavar="RESULT.json...", help="Two or more; the first is the base")],
    as_json: Json = False,
) -> None:
    from benchmarks.speed.compare_command import run_compare

    raise typer.Exit(run_compare(results, as_json=as_json))


_CARD_HELP = """Make a card of a result of `demotic bench`, fit to be posted. Nothing is sent anywhere.

It has the figures, the processor, versions and settings, and the model's name and SHA-256; no names of hosts, users or
folders. A card is a Markdown page with the same as JSON at its end; with a name that ends in .json it is JSON alone.

Examples:

  demotic bench submit-card here.json -o card.md
"""


def _card(
    result: Annotated[Path, typer.Argument(metavar="RESULT.json")],
    output: Annotated[Path, typer.Option("--output", "-o", help="The card's file.")],
    force: Force = False,
) -> None:
    from benchmarks.speed.card import submit_card

    raise typer.Exit(submit_card(result, output, force=force))


_LOAD_HELP = """Measure an OpenAI endpoint under load: demotic's, or any other.

Several clients at once ask for continuations, each for the next one as soon as it has one. It reports tokens/s,
characters/s, requests/s, the time to the first token (TTFT) and between two pieces of text (ITL), and every error.
Ctrl-C ends with what was measured so far.

With --long-prompt every client has one stream, and while all of them run a long prompt arrives: the figure is how long
the streams wait for it.

With --against nothing need be running: demotic and each program named serve the same file in turns, the one that goes
first changing, and the figures are ratios. Presets: llama-server, ollama, vllm, llama-cpp-python (its extra server).

Examples:

  demotic bench serve --clients 8 --requests 32

  demotic bench serve --clients 8 --shared-prefix 600 --output-tokens 16 --json

  demotic bench serve --clients 4 --output-tokens 128 --long-prompt 2000

  demotic bench serve --model gemma-3-270m --against llama-server=./build/bin/llama-server --against ollama
"""


def _load(
    url: Url = _URL,
    api_key: Key = "",
    model: Served = None,
    chat: Annotated[bool, typer.Option("--chat", help="Ask for chat completions, not for continuations.")] = False,
    clients: Annotated[int, typer.Option(min=1, help="How many ask at a time.")] = 4,
    requests: Annotated[int | None, typer.Option(min=1, help="All together.", show_default="4 a client")] = None,
    prompt_tokens: Annotated[int, typer.Option(min=4, help="Length of a prompt, about, without its prefix.")] = 64,
    shared_prefix: Annotated[int, typer.Option(min=0, help="Tokens, about, that all prompts begin with.")] = 0,
    output_tokens: Annotated[int, typer.Option(min=1, help="Most tokens to generate for each.")] = 64,
    stagger: Annotated[float, typer.Option(min=0, help="Seconds between the starts of two clients.")] = 0.0,
    long_prompt: Annotated[int, typer.Option(min=0, help="Length, about, of a prompt that comes in between.")] = 0,
    seed: Annotated[int, typer.Option(help="The same seed makes the same prompts.")] = 1,
    timeout: Timeout = 300,
    against: Annotated[
        list[str] | None,
        typer.Option(
            metavar=r"PROGRAM\[=PATH]",
            help="Serve --model (a GGUF here) with demotic and with this program in turns; may be repeated.",
        ),
    ] = None,
    alternations: Annotated[int, typer.Option(min=1, help="With --against: how often each has its turn.")] = 3,
    as_json: Json = False,
) -> None:
    from benchmarks.load import Endpoint, Workload, bench

    workload = Workload(
        clients=clients,
        requests=clients if long_prompt else requests or 4 * clients,
        prompt_tokens=prompt_tokens,
        shared_prefix=shared_prefix,
        output_tokens=output_tokens,
        stagger=stagger,
        long_prompt=long_prompt,
        seed=seed,
    )
    if against:
        from benchmarks.against import bench_against

        if chat or url != _URL:
            raise InvalidRequest(
                "With --against demotic starts the servers, and asks for continuations.", param="--url"
            )
        # Without the folders of this machine: results are shown to others.
        words = [f"{word.partition('=')[0]}=PATH" if word in against and "=" in word else word for word in sys.argv[1:]]
        repeat = shlex.join(["demotic", *words])
        raise typer.Exit(bench_against(model, against, workload, alternations, as_json=as_json, repeat=repeat))
    endpoint = Endpoint(url=url, api_key=api_key, model=model, is_chat=chat, timeout=timeout)
    raise typer.Exit(bench(endpoint, workload, as_json=as_json))


_TOOLS_HELP = """Measure how an OpenAI endpoint calls tools in twelve languages: demotic's, or any other.

The suite has 20 questions a language: some want a call, some several, some none; some have nested arguments, options,
dates or the language's own digits. Each is asked twice, once with tool_choice auto and once with required. A free
answer that has begun no call in its first 32 tokens is text. It reports how many calls are sound in form, and the
verdicts of TUCAN's evaluator. Ctrl-C ends with what was found so far.

Examples:

  demotic bench tools

  demotic bench tools --language bul_Cyrl --language tha_Thai --json
"""


def _tools(
    url: Url = _URL,
    api_key: Key = "",
    model: Served = None,
    language: Annotated[
        list[str] | None,
        typer.Option(help="One of the suite's, such as bul_Cyrl; may be repeated.", show_default="all"),
    ] = None,
    max_tokens: Annotated[int, typer.Option(min=1, help="Where a free answer that calls is cut off.")] = 128,
    clients: Annotated[int, typer.Option(min=1, help="How many ask at a time.")] = 8,
    timeout: Timeout = 300,
    as_json: Json = False,
) -> None:
    from benchmarks.load import Endpoint
    from benchmarks.tools import Settings, bench

    endpoint = Endpoint(url=url, api_key=api_key, model=model, is_chat=True, timeout=timeout)
    raise typer.Exit(bench(endpoint, language or [], Settings(max_tokens, clients), as_json=as_json))
