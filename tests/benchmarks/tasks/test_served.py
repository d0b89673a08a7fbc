"""Tasks with real models: figures equal what transformers and lm-evaluation-harness make of the same files."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
import torch
import transformers

from benchmarks.metrics.retrieval import ndcg
from tests.benchmarks.tasks.endpoint import jsonl, report
from tests.converters.onnx.sources import Sources
from tests.runtime.onnx.reference import computed, model_of, tokenizer_of
from tests.server import ServerProcess, serving

QUESTIONS = [
    ("Което е топло?", ["лед", "голям огън"], "B"),
    ("Which is red?", ["blood", "snow"], "A"),
    ("Où est le chat?", ["sur la table", "dans un très grand jardin"], "A"),
    ("What is up?", ["the sky", "a"], "A"),
    ("Кой лае?", ["куче", "котка"], "A"),
    ("Which is high?", ["a hill", "sea"], "A"),
]
TASKS = """
import json, sys
from lm_eval import simple_evaluate
from lm_eval.tasks import TaskManager
url, folder, tokenizer = sys.argv[1:]
def run(kind, task, **arguments):
    return simple_evaluate(
        model=kind, model_args=arguments, tasks=[task], bootstrap_iters=0,
        task_manager=TaskManager(include_path=folder, include_defaults=False),
        apply_chat_template="chat" in kind,
    )
choice = run("local-completions", "choice", model="llama-onnx", base_url=f"{url}/completions",
             tokenizer=tokenizer, add_bos_token=True, num_concurrent=2)
chat = run("local-chat-completions", "answers", model="llama-onnx", base_url=f"{url}/chat/completions",
           tokenizer_backend="none")
samples = [[float(one[0]) for one in sample["filtered_resps"]] for sample in choice["samples"]["choice"]]
told = {"choice": choice["results"]["choice"], "samples": samples, "answers": chat["results"]["answers"],
        "said": [sample["filtered_resps"][0] for sample in chat["samples"]["answers"]]}
print("TOLD", json.dumps(told))
"""
CHOICE = """
task: choice
dataset_path: json
dataset_kwargs: {data_files: {test: %s}}
test_split: test
output_type: multiple_choice
doc_to_text: "Question: {{question}}\\nAnswer:"
doc_to_choice: "{{choices.text}}"
doc_to_target: "{{choices.label.index(answerKey)}}"
metric_list:
  - {metric: acc, aggregation: mean, higher_is_better: true}
  - {metric: acc_norm, aggregation: mean, higher_is_better: true}
"""
ANSWERS = """
task: answers
dataset_path: json
dataset_kwargs: {data_files: {test: %s}}
test_split: test
output_type: generate_until
doc_to_text: "{{question}}"
doc_to_target: "{{answer}}"
generation_kwargs: {until: ["\\n"], max_gen_toks: 8, temperature: 0}
metric_list:
  - {metric: exact_match, aggregation: mean, higher_is_better: true}
"""


@pytest.fixture(scope="module")
def questions(tmp_path_factory: pytest.TempPathFactory) -> Path:
    rows = [
        {"question": question, "choices": {"text": options, "label": ["A", "B"]}, "answerKey": key}
        for question, options, key in QUESTIONS
    ]
    return jsonl(tmp_path_factory.mktemp("arc") / "arc.jsonl", *rows)


@pytest.fixture(scope="module")
def served(sources: Sources) -> Iterator[ServerProcess]:
    names = ("llama", "llama-reward", "bert", "marian")
    with serving(*(str(sources.exported(name).path) for name in names), "--max-models", "4") as server:
        yield server


def test_a_model_gets_an_endpoint_of_its_own_and_its_log_likelihoods_are_those_of_transformers(
    sources: Sources, questions: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DEMOTIC_API_KEY", "of-another-server")
    results = tmp_path / "results.jsonl"
    before = set(psutil.Process().children())
    told = report("choice", questions, "--model", sources.exported("llama").path, "--results", results)
    assert set(psutil.Process().children()) == before
    assert told["errors"] == {}
    assert told["languages"]["und"]["asked"] == len(QUESTIONS) and len(told["model_sha256"]) == 64
    lines = [json.loads(line) for line in results.read_text(encoding="utf-8").splitlines()[1:]]
    found = {line["key"].rpartition(":")[2]: line["answer"] for line in lines}
    tokenizer = tokenizer_of(sources, "llama")
    loaded: Any = transformers.AutoModelForCausalLM
    model = loaded.from_pretrained(sources.checkpoint("llama")).eval()
    for number, (question, options, _) in enumerate(QUESTIONS, 1):
        context = f"Question: {question}\nAnswer:"
        start = len(tokenizer(context).input_ids)
        wanted = []
        for option in options:
            ids = torch.tensor([tokenizer(f"{context} {option}").input_ids])
            with torch.no_grad():
                logprobs = model(ids).logits[0].log_softmax(-1)
            wanted.append(float(sum(logprobs[place - 1, ids[0, place]] for place in range(start, ids.shape[1]))))
        assert found[str(number)] == pytest.approx(wanted, abs=1e-3)


def test_s46_accuracy_of_a_tiny_reward_model_is_that_of_transformers(
    served: ServerProcess, sources: Sources, tmp_path: Path
) -> None:
    rows = [
        {"prompt": prompt, "chosen": chosen, "rejected": rejected, "language": language}
        for prompt, chosen, rejected, language in [
            ("Wie heißt du? ", "Ich heiße Anna.", "x", "de"),
            ("Кой си ти? ", "Аз съм Мария.", "Не знам, а ти кой си?", "bg"),
            ("Кой е там? ", "Никой.", "Котка и куче седят там.", "bg"),
            ("Who? ", "Me and the cat.", "Nobody.", "en"),
        ]
    ]
    file = jsonl(tmp_path / "pairs.jsonl", *rows)
    told = report("rewards", file, "--url", served.base_url, "--model", "llama-reward-onnx")
    tokenizer, model = tokenizer_of(sources, "llama-reward"), model_of(sources, "llama-reward", "classify")

    def reward(prompt: str, answer: str) -> float:
        # The answer begins no text of its own.
        ids = tokenizer(prompt).input_ids + tokenizer(answer, add_special_tokens=False).input_ids
        return float(computed(model, ids)[0])

    right = [reward(row["prompt"], row["chosen"]) > reward(row["prompt"], row["rejected"]) for row in rows]
    accuracy = {name: one["accuracy"] for name, one in told["languages"].items()}
    assert accuracy == {
        "deu_Latn": 100 * right[0],
        "bul_Cyrl": 100 * (right[1] + right[2]) / 2,
        "eng_Latn": 100 * right[3],
    }


def test_rankings_are_those_of_the_vectors_of_transformers(
    served: ServerProcess, sources: Sources, tmp_path: Path
) -> None:
    texts = ["Wolfgang lives in Berlin.", "Мария пътува до София.", "हिन्दी", "la final a l'Hospitalet"]
    queries = {"q0": "Berlin", "q1": "София"}
    folder = tmp_path / "beir"
    jsonl(folder / "corpus.jsonl", *({"_id": f"d{place}", "text": text} for place, text in enumerate(texts)))
    jsonl(folder / "queries.jsonl", *({"_id": name, "text": text} for name, text in queries.items()))
    (folder / "qrels").mkdir()
    (folder / "qrels" / "test.tsv").write_text("q\td\ts\nq0\td0\t1\nq1\td1\t2\nq1\td3\t1\n", encoding="utf-8")
    told = report("retrieval", folder, "--url", served.base_url, "--model", "bert-onnx")
    tokenizer, model = tokenizer_of(sources, "bert"), model_of(sources, "bert", "features")

    def vector(text: str) -> Any:
        mean = computed(model, tokenizer(text).input_ids).mean(axis=0)
        return mean / float((mean**2).sum() ** 0.5)

    relevance = [{"d0": 1.0}, {"d1": 2.0, "d3": 1.0}]
    gains = []
    for query, judged in zip(queries.values(), relevance, strict=True):
        near = {f"d{place}": float(vector(text) @ vector(query)) for place, text in enumerate(texts)}
        gains.append(ndcg(sorted(near, key=lambda name: -near[name]), judged, 10))
    assert told["languages"]["und"]["nDCG@10"] == pytest.approx(100 * sum(gains) / 2, rel=1e-5)


def test_s25_s39_translations_come_through_the_endpoint_for_them(served: ServerProcess, tmp_path: Path) -> None:
    rows = [{"translation": {"en": "A cat sits.", "bg": text}} for text in ("Седи котка.", "Котка.")]
    file = jsonl(tmp_path / "pairs.jsonl", *rows)
    results = tmp_path / "results.jsonl"
    told = report("translate", file, "--url", served.base_url, "--model", "marian-onnx", "--results", results)
    assert told["languages"]["eng_Latn→bul_Cyrl"]["failed"] == 0
    assert 0 <= told["languages"]["eng_Latn→bul_Cyrl"]["chrF"] <= 100
    first, second = [json.loads(line)["answer"] for line in results.read_text(encoding="utf-8").splitlines()[1:]]
    assert first == second != ""


def test_lm_evaluation_harness_asks_the_endpoint_and_agrees_with_eval_choice(
    served: ServerProcess, sources: Sources, questions: Path, tmp_path: Path
) -> None:
    tokenizer = tmp_path / "tokenizer"
    tokenizer.mkdir()
    (tokenizer / "tokenizer.json").write_bytes((sources.checkpoint("llama") / "tokenizer.json").read_bytes())
    settings = {"tokenizer_class": "PreTrainedTokenizerFast", "bos_token": "<s>", "eos_token": "</s>"}
    (tokenizer / "tokenizer_config.json").write_text(json.dumps(settings), encoding="utf-8")
    results = tmp_path / "results.jsonl"
    asked = ("--url", served.base_url, "--model", "llama-onnx")
    ours = report("choice", questions, *asked, "--results", results)["languages"]["und"]
    lines = [json.loads(line) for line in results.read_text(encoding="utf-8").splitlines()[1:]]
    likelihoods = {int(line["key"].rpartition(":")[2]) - 1: line["answer"] for line in lines}
    short = [{"question": question, "targets": ["x"]} for question, _, _ in QUESTIONS]
    answers = jsonl(tmp_path / "answers.jsonl", *short)
    prompts = tmp_path / "prompts.json"
    prompts.write_text('{"": "{question}"}', encoding="utf-8")
    chat = tmp_path / "chat.jsonl"
    report(*("answers", answers, *asked, "--chat", "--max-tokens", 8, "--prompts", prompts, "--results", chat))
    said = {json.loads(line)["key"]: json.loads(line)["answer"] for line in chat.read_text("utf-8").splitlines()[1:]}
    by_number = {int(key.rpartition(":")[2]) - 1: text for key, text in said.items()}
    (tmp_path / "tasks").mkdir()
    # The first answer is what the model says, so that exact match has something to find, where no space is before it.
    rows = [
        {"question": question, "answer": by_number[0] if place == 0 else "x"}
        for place, (question, _, _) in enumerate(QUESTIONS)
    ]
    (tmp_path / "tasks" / "choice.yaml").write_text(CHOICE % questions, encoding="utf-8")
    (tmp_path / "tasks" / "answers.yaml").write_text(ANSWERS % jsonl(tmp_path / "lm.jsonl", *rows), encoding="utf-8")
    command = [sys.executable, "-c", TASKS, served.base_url, str(tmp_path / "tasks"), str(tokenizer)]
    offline = {"HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path / "hub"), "PATH": "/usr/bin:/bin"}
    done = subprocess.run(command, capture_output=True, text=True, env=offline, check=False)
    assert done.returncode == 0, done.stderr
    theirs = json.loads(done.stdout.rpartition("TOLD ")[2])
    assert theirs["samples"] == [pytest.approx(likelihoods[place], abs=1e-3) for place in range(len(QUESTIONS))]
    assert 100 * theirs["choice"]["acc,none"] == pytest.approx(ours["accuracy"], rel=1e-5)
    assert 100 * theirs["choice"]["acc_norm,none"] == pytest.approx(ours["per character"], rel=1e-5)
    assert [text.strip() for text in theirs["said"]] == [by_number[place] for place in range(len(QUESTIONS))]
    right = [text == row["answer"] for text, row in zip(theirs["said"], rows, strict=True)]
    assert theirs["answers"]["exact_match,none"] == pytest.approx(sum(right) / len(QUESTIONS))
