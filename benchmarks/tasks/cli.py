"""The commands that put files of tasks to a model: eval choice, answers, translate and so on.

Only their signatures, help texts and defaults live here, so that `demotic --help` imports nothing heavy. Each function
has a task's own options and makes the task; `_command` adds those that all have, and `run.py` is the way of all.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from inspect import Signature, signature
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from benchmarks.tasks.rows import Source
    from benchmarks.tasks.task import Task

# The backslashes keep rich from reading the brackets as markup.
Files = Annotated[list[str], typer.Argument(metavar="FILE...", help="JSONL, each as FILE or LANGUAGE=FILE.")]
Folders = Annotated[
    list[str], typer.Argument(metavar="FOLDER...", help="As BEIR has them, each as FOLDER or LANGUAGE=FOLDER.")
]
Model = Annotated[
    str | None,
    typer.Option(
        help="A model as `demotic run` takes it, for which an endpoint is started and stopped; with --url, the name of "
        "a served one.",
        show_default="the default model, or the first that is served",
    ),
]
Url = Annotated[str | None, typer.Option(help="Ask this endpoint.", show_default="one of our own")]
Key = Annotated[str, typer.Option(help="Its key.", envvar="DEMOTIC_API_KEY", show_default=False)]
Timeout = Annotated[float, typer.Option(min=0.1, help="Seconds without a byte after which a question failed.")]
Clients = Annotated[int, typer.Option(min=1, help="How many ask at a time.")]
ResultsFile = Annotated[
    Path | None,
    typer.Option("--results", help="Keep the answers here, to go on from.", show_default="beside the first file"),
]
Force = Annotated[bool, typer.Option("--force", help="Ask everything anew.")]
Output = Annotated[
    Path | None, typer.Option("--output", "-o", help="Write the report here too: JSON for .json, else Markdown.")
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document instead of Markdown.")]
# A task, and all files that it is made of.
Asking = tuple["Task", list["Source"]]

_COMMON = """The answers are kept as they come, a JSON line each: after Ctrl-C, or where a question failed, the same
command goes on where it stopped. Results of another model, file or setting are not mixed in.

"""


class Way(StrEnum):
    """How a translation is asked for."""

    TRANSLATE = "translate"
    CHAT = "chat"
    COMPLETIONS = "completions"


def register(group: typer.Typer) -> None:
    """Add the commands to the group `eval`."""
    group.command("choice", help=_CHOICE_HELP)(_command(_choice))
    group.command("answers", help=_ANSWERS_HELP)(_command(_answers))
    group.command("translate", help=_TRANSLATE_HELP)(_command(_translate))
    group.command("rewards", help=_REWARDS_HELP)(_command(_rewards))
    group.command("instructions", help=_INSTRUCTIONS_HELP)(_command(_instructions))
    group.command("tools", help=_TOOLS_HELP)(_command(_tools))
    group.command("retrieval", help=_RETRIEVAL_HELP)(_command(_retrieval))


def _sources(texts: list[str] | None) -> list[Source]:
    from benchmarks.tasks.rows import Source

    return [Source.parse(text) for text in texts or []]


def _command(build: Callable[..., Asking]) -> Callable[..., None]:
    """The command that puts the task that `build` makes to a model; it has the options of `build` and those of all."""

    def command(
        model: Model = None,
        url: Url = None,
        api_key: Key = "",
        clients: Clients = 4,
        timeout: Timeout = 300.0,
        results: ResultsFile = None,
        force: Force = False,
        output: Output = None,
        as_json: Json = False,
        **own: Any,
    ) -> None:
        from benchmarks.tasks.run import Wishes, run
        from benchmarks.tasks.served import Target

        task, sources = build(**own)
        wishes = Wishes(clients, results, force, output, as_json)
        raise typer.Exit(run(task, sources, Target(url, api_key, model, timeout), wishes))

    # What typer reads: the files, whom to ask, what the task has of its own, how to ask.
    files, *own = signature(build, eval_str=True).parameters.values()
    *shared, _ = signature(command, eval_str=True).parameters.values()
    command.__dict__["__signature__"] = Signature([files, *shared[:3], *own, *shared[3:]])
    return command


_CHOICE_HELP = f"""Multiple choice by log-likelihood, by language.

Files as those of ARC (question, choices, answerKey) and of Belebele (flores_passage, question, mc_answer1 to 4,
correct_answer_num). The option that the model finds likeliest after the question is its answer: as it is, and for its
length in characters and bytes. The endpoint must tell logprobs of an echoed prompt (/v1/completions).

{_COMMON}Examples:

  demotic eval choice bul_Cyrl.jsonl swh_Latn.jsonl --model gemma-3-270m

  demotic eval choice eng_Latn=ARC-Easy-Test.jsonl --letters --json
"""


def _choice(
    files: Files,
    letters: Annotated[
        bool, typer.Option("--letters", help="Show the options with letters, and ask for a letter.")
    ] = False,
) -> Asking:
    from benchmarks.tasks.choice import Choice

    sources = _sources(files)
    return Choice(sources, letters=letters), sources


_ANSWERS_HELP = f"""Short answers with exact match, by language, and how far the languages lie apart.

Files as those of MultiLoKo: question, and targets (or target, answers, answer). Answers are compared as MultiLoKo does.
With --to-english, the same questions in English, the mother tongue effect (MTE) is told; with --from-english, English
questions translated into the language, the locality effect (LE). Both name the language that they are compared with.
Needs the extra 'eval'.

{_COMMON}Examples:

  demotic eval answers nld=dutch/dev.jsonl swh=swahili/dev.jsonl --model gemma-3-270m

  demotic eval answers nld=dutch/dev.jsonl --examples nld=dutch/knowledge_fewshot.jsonl --shots 5

  demotic eval answers nld=dutch/dev.jsonl --to-english nld=dutch/dev_translated_human_english.jsonl
"""


def _answers(
    files: Files,
    to_english: Annotated[
        list[str] | None,
        typer.Option(help="FILE or LANGUAGE=FILE of the same questions in English.", show_default=False),
    ] = None,
    from_english: Annotated[
        list[str] | None,
        typer.Option(help="FILE or LANGUAGE=FILE of translated English questions.", show_default=False),
    ] = None,
    examples: Annotated[
        list[str] | None, typer.Option(help="FILE or LANGUAGE=FILE of solved questions.", show_default=False)
    ] = None,
    shots: Annotated[
        int | None, typer.Option(min=0, help="So many examples before each question.", show_default="5 with --examples")
    ] = None,
    prompts: Annotated[
        Path | None,
        typer.Option(help="JSON: a prompt with {question} for each language.", show_default="Q: {question} A:"),
    ] = None,
    chat: Annotated[bool, typer.Option("--chat", help="Ask in a chat, not for continuations.")] = False,
    max_tokens: Annotated[int, typer.Option(min=1, help="Longest answer.")] = 32,
) -> Asking:
    from benchmarks.tasks.answers import Answers, Manner, read_prompts

    own, to_file, from_file, solved = map(_sources, (files, to_english, from_english, examples))
    num_shots = shots if shots is not None else 5 if solved else 0
    manner = Manner(read_prompts(prompts), solved, num_shots, chat, max_tokens)
    return Answers(own, to_file, from_file, manner), [*own, *to_file, *from_file, *solved]


_TRANSLATE_HELP = f"""Translations with BLEU and chrF, by pair of languages.

A row has source, target (or reference, references), source_language and target_language; or translation, an object from
two languages to texts. Without a source language nobody is told of it, as for texts in several languages. Needs the
extra 'eval'.

{_COMMON}Examples:

  demotic eval translate flores.jsonl --model ./opus-mt-en-bg

  demotic eval translate flores.jsonl --through chat --url http://127.0.0.1:8000/v1 --model qwen3
"""


def _translate(
    files: Files,
    through: Annotated[
        Way, typer.Option(help="/v1/translate, or a prompt in a chat or before a continuation.")
    ] = Way.TRANSLATE,
    prompt: Annotated[
        str | None,
        typer.Option(
            help="The prompt, with {source}, {target} and {text}.",
            show_default="Translate the following{source} text to {target}. {text}",
        ),
    ] = None,
    max_tokens: Annotated[int, typer.Option(min=1, help="Longest translation that a prompt gets.")] = 256,
) -> Asking:
    from benchmarks.tasks.translate import PROMPT, Translate

    sources = _sources(files)
    return Translate(sources, through=through.value, prompt=prompt or PROMPT, max_tokens=max_tokens), sources


_REWARDS_HELP = f"""Reward models: how often the answer that people chose gets the higher reward, by language.

Files as those of M-RewardBench: prompt, chosen, rejected, language, and id and category where there are any. It reports
the accuracy, its distance to English, Cohen's kappa with English, and the accuracy by category. The endpoint must score
(/v1/score), or with --template classify (/v1/classify).

{_COMMON}Examples:

  demotic eval rewards rewards.jsonl --model ./reward-model-onnx

  demotic eval rewards rewards.jsonl --template '<|user|>{{prompt}}<|assistant|>{{answer}}'
"""


def _rewards(
    files: Files,
    template: Annotated[
        str | None,
        typer.Option(help="One text of {prompt} and {answer}, as the model was trained.", show_default=False),
    ] = None,
) -> Asking:
    from benchmarks.tasks.rewards import Rewards

    sources = _sources(files)
    return Rewards(sources, template=template), sources


_INSTRUCTIONS_HELP = f"""Instructions that a program can check, over several turns, by language.

Files as those of Multi-IF (turn_1_prompt, turn_1_instruction_id_list, turn_1_kwargs and so on) and of IFEval (prompt,
instruction_id_list, kwargs). Each turn is scored strictly and loosely, by prompt and by instruction, with a confidence
interval. Instructions of kinds that nothing checks are refused.

{_COMMON}Examples:

  demotic eval instructions multi-if.jsonl --model smollm2-135m-instruct
"""


def _instructions(
    files: Files,
    max_tokens: Annotated[int, typer.Option(min=1, help="Longest answer to a turn.")] = 1024,
) -> Asking:
    from benchmarks.tasks.instructions import Instructions

    sources = _sources(files)
    return Instructions(sources, max_tokens=max_tokens), sources


_TOOLS_HELP = f"""Calls of tools, with the verdicts of TUCAN's evaluator, by language and scenario.

Rows as in TUCAN's data set: user_message, functions, expected_behavior, scenario_type. `demotic bench tools` has a
suite of its own in twelve languages.

{_COMMON}Examples:

  demotic eval tools bul_Cyrl=tucan.jsonl --model smollm2-135m-instruct
"""


def _tools(
    files: Files,
    max_tokens: Annotated[int, typer.Option(min=1, help="Where an answer is cut off.")] = 2048,
) -> Asking:
    from benchmarks.tasks.tools import Tools

    sources = _sources(files)
    return Tools(sources, max_tokens=max_tokens), sources


_RETRIEVAL_HELP = f"""Retrieval by vectors: nDCG, recall and MRR of the first documents, by language.

A folder as BEIR has them is one language: corpus.jsonl, queries.jsonl and qrels/test.tsv. The endpoint must give
vectors (/v1/embeddings).

{_COMMON}Examples:

  demotic eval retrieval bul_Cyrl=miracl-bg swh=miracl-sw --model ./multilingual-e5-small --instruction query
"""


def _retrieval(
    folders: Folders,
    k: Annotated[int, typer.Option("-k", "--k", min=1, help="How many documents count.")] = 10,
    split: Annotated[str, typer.Option(help="The judgements to use: qrels/SPLIT.tsv.")] = "test",
    instruction: Annotated[
        str | None, typer.Option(help="What goes before the queries, for models that want it.", show_default=False)
    ] = None,
) -> Asking:
    from benchmarks.tasks.retrieval import Retrieval

    sources = _sources(folders)
    return Retrieval(sources, k=k, split=split, instruction=instruction), sources
