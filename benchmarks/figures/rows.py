"""The figures of the README that stand beside another program's, or beside a goal: one function a results file."""

from __future__ import annotations

import statistics
from collections.abc import Iterator
from dataclasses import dataclass

from benchmarks.figures.results import between, link, number, result

MODELS = {"gemma-3-270m": "Gemma 3 270M", "smollm2-135m-instruct": "SmolLM2 135M"}
# What the scenarios of benchmarks/compare_llama_server.py are called here: their names and figures.
_FIGURES = {
    "throughput": "tokens/s",
    "worst TTFT": "worst time to the first token, s",
    "p95 of ITL while it is read": "p95 between pieces of text meanwhile, s",
}


@dataclass(frozen=True)
class Beside:
    """A figure beside that of another program, in the same run; `ratio` is demotic's over the other's."""

    what: str
    ours: float
    theirs: float
    other: str
    ratio: float
    goal: str
    result: str
    repeat: str

    def cells(self) -> tuple[str, ...]:
        """The row of a table."""
        figures = (number(self.ours), f"{number(self.theirs)}, {self.other}", f"{self.ratio:.2f}")
        return (self.what, *figures, self.goal, f"{link(self.result)} {self.repeat}")


@dataclass(frozen=True)
class Alone:
    """A figure with its goal, where there is one."""

    what: str
    figure: str
    goal: str
    result: str
    repeat: str

    def cells(self) -> tuple[str, ...]:
        """The row of a table."""
        return (self.what, self.figure, self.goal, f"{link(self.result)} {self.repeat}")


def beside_others() -> list[Beside]:
    """All figures beside other programs."""
    return [*_startup(), *_generation(), *_servers(), *_constrained(), *_translation(), *_encoders()]


def alone() -> list[Alone]:
    """All figures without another program."""
    return [*_engine(), *_chat(), *_tools(), *_conversion(), *_shrinking()]


def _startup() -> Iterator[Beside]:
    found = result("startup")
    seconds = found["seconds"]
    yield Beside(
        "one short answer of SmolLM2 135M, from the shell and back, s",
        seconds["demotic"],
        seconds["bare"],
        "a bare llama-cpp-python script",
        found["ratio"],
        *("at most 1.3", "startup", "`scripts/bench -k startup`"),
    )


def _generation() -> Iterator[Beside]:
    found = result("llama-bench")
    for model in found["models"]:
        yield Beside(
            f"{MODELS[model['model']]}: generation, with demotic's costs of sampling, text and engine added to the "
            "other's, tokens/s",
            statistics.median(model["demotic"]["tokens_per_second"]),
            1 / model["seconds_per_token_with_costs"],
            "llama-bench",
            model["agreement"],
            *(f"within {found['wanted']:.0%}", "llama-bench", "[how](docs/benchmarking.md#beside-llama-bench)"),
        )


def _servers() -> Iterator[Beside]:
    found = result("llama-server")
    name = MODELS[found["model"]]
    for row in found["rows"]:
        if row["wanted"] is None:
            continue
        goal = f"at {'least' if row['more_is_better'] else 'most'} {row['wanted']:.2g}"
        yield Beside(
            f"{name}: {row['scenario']}: {_FIGURES[row['figure']]}",
            row["demotic"]["median"],
            row["llama-server"]["median"],
            "llama-server",
            row["ratio"],
            *(goal, "llama-server", "`python -m benchmarks.compare_llama_server`"),
        )


def _constrained() -> Iterator[Beside]:
    for model, name in MODELS.items():
        found = result(f"constrained-{model}")
        speeds = found["characters_per_second"]
        yield Beside(
            f"{name}: answers that fit a JSON schema, characters/s",
            statistics.median(speeds["demotic"]),
            statistics.median(speeds["llama-server"]),
            "llama-server",
            found["ratio"],
            *(f"at least {found['wanted']:g}", f"constrained-{model}"),
            "`python -m benchmarks.compare_constrained`",
        )


def _translation() -> Iterator[Beside]:
    found = result("ctranslate2")
    for row in found["results"]:
        speeds = row["tokens_per_second"]
        texts = "one text" if row["texts"] == 1 else f"{row['texts']} texts"
        yield Beside(
            f"translation of {texts}, {found['sizes']['num_beams']} beams, float32, tokens/s",
            statistics.median(speeds["demotic"]),
            statistics.median(speeds["ctranslate2"]),
            "CTranslate2",
            row["ratio"],
            *(f"at least {found['wanted']:g}", "ctranslate2"),
            "[how](docs/translation.md#speed)",
        )


def _encoders() -> Iterator[Beside]:
    found = result("encoders-minilm-onnx")
    for texts, speeds in found["texts_per_second"].items():
        yield Beside(
            f"vectors of all-MiniLM-L6-v2, float32, {texts} at a time, texts/s",
            statistics.median(speeds["demotic"]),
            statistics.median(speeds["reference"]),
            "sentence-transformers",
            found["ratios"][texts],
            *(f"at least {found['wanted']:g}", "encoders-minilm-onnx"),
            "[how](docs/embeddings.md#beside-sentence-transformers)",
        )


def _engine() -> Iterator[Alone]:
    sampling = result("sampling")
    shares = {name: way["share"] for name, way in sampling["ways"].items()}
    greedy, others = shares.pop("greedy"), list(shares.values())
    yield Alone(
        "of a step of 8 sequences with 262,144 entries, what is not llama.cpp",
        f"{greedy:.1%} greedy, {between(others, '{:.1%}')} with top-k, top-p, min-p or temperature",
        f"at most {sampling['wanted_share_at_most']:.0%}",
        *("sampling", "`scripts/bench -k what_sampling`"),
    )
    masks = result("masks")
    again, beside = masks["again"]["median"], masks["beside_the_model"]["median"]
    yield Alone(
        f"a mask of a JSON schema over {masks['entries']:,} entries",
        f"{again:.2f} ms, and {beside:.2f} ms right after a step of the model",
        f"at most {masks['wanted_median_at_most']:g} ms",
        *("masks", "`scripts/bench -k mask_of`"),
    )
    sharing = result("sharing")
    yield Alone(
        "two `demotic run` of Gemma 3 270M at once",
        f"{sharing['two_at_once_each']:.0f} tokens/s each, and {sharing['alone']:.0f} alone",
        *("", "sharing", "`scripts/bench -k sharing`"),
    )


def _chat() -> Iterator[Alone]:
    start = result("chat_start")
    quick, silent = (way["median"] for way in start["seconds"].values())
    yield Alone(
        "the chat shows itself, its model still loading",
        f"after {quick:.2f} s, and {silent:.2f} s in a terminal that does not answer what it is asked",
        f"at most {start['wanted_median_seconds_at_most']:g} s",
        *("chat_start", "`scripts/bench -k chat_start`"),
    )
    chat = result("chat")
    costs = [window["cpu_ms_a_token"] for window in chat["windows"]]
    yield Alone(
        f"an answer of {chat['tokens']:,} tokens in the chat",
        f"{between(costs, '{:.1f}')} ms of a processor a token, {chat['growth']:.2f} times as much at its end",
        f"at most {chat['wanted_growth_at_most']:g} times",
        *("chat", "`scripts/bench -k bench_chat.py`"),
    )
    yield Alone(
        "95 of 100 of its tokens are on the screen",
        f"within {chat['delay_ms_p95_longest']:.0f} ms, at {chat['asked_tokens_per_second']} tokens/s",
        f"at most {chat['wanted_delay_ms_p95_at_most']:g} ms",
        *("chat", "`scripts/bench -k bench_chat.py`"),
    )


def _tools() -> Iterator[Alone]:
    for model, name in MODELS.items():
        found = result(f"tools-{model}")
        free, required = found["free"], found["required"]
        verdicts = required["verdicts"]
        yield Alone(
            f"{name}: calls of tools, {free['asked']} questions in {len(found['by_language'])} languages",
            f"{free['sound']} sound in form of its own accord, {required['sound']} with `tool_choice` required; of "
            f"those {verdicts['correct']} of {verdicts['total']} right",
            *("", f"tools-{model}", f"`demotic bench tools --model {model}`"),
        )


def _conversion() -> Iterator[Alone]:
    found = result("convert-q8_0")
    speed, copy = found["convert_gb_per_s"], found["copy_gb_per_s"]
    yield Alone(
        f"a checkpoint of {found['source_bytes'] / 1e9:.1f} GB becomes Q8_0",
        f"at {speed:.2f} GB/s, with {found['peak_memory_bytes'] / 1e9:.2f} GB of memory; a plain copy of it at "
        f"{copy:.2f} GB/s",
        *("", "convert-q8_0", "`python -m benchmarks.compare_convert`"),
    )


def _shrinking() -> Iterator[Alone]:
    graphs = result("shrinking")["graphs"]
    full = graphs["fp32"]
    for name, told in (
        ("int8, embedding int8", "in int8"),
        ("int7, embedding int8", "in int7, its embedding in int8"),
        ("int8, embedding int8, 60000 rows", "in int8, with 60,000 of its 250,002 rows"),
    ):
        graph = graphs[name]
        one, many = (graph["texts_per_s"][batch] / full["texts_per_s"][batch] for batch in ("1", "32"))
        yield Alone(
            f"an encoder of multilingual-e5-small's sizes {told}",
            f"{graph['bytes'] / 1e6:.0f} of {full['bytes'] / 1e6:.0f} MB; {one:.2f} times as fast with one text at a "
            f"time, {many:.2f} with 32",
            *("", "shrinking", "`python -m benchmarks.compare_shrinking`"),
        )
