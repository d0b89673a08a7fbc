"""Each task asks an endpoint as it should, and scores what comes; the answers and their figures are made by hand."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import sacrebleu

from benchmarks.tasks.choice import log_likelihood
from tests.benchmarks.tasks.endpoint import completions, evaluated, jsonl, message, report, scripted

ARC = [
    {
        "question": {
            "stem": "Which is warm?",
            "choices": [{"text": "ice", "label": "A"}, {"text": "a fire", "label": "B"}],
        },
        "answerKey": "B",
    },
    {
        "question": "Which is red?",
        "choices": {"text": ["grass", "blood", "snow"], "label": ["1", "2", "3"]},
        "answerKey": "3",
    },
]
BELEBELE = {
    "flores_passage": "Котката пие мляко.",
    "question": "Какво пие котката?",
    "mc_answer1": "вода",
    "mc_answer2": "мляко",
    "mc_answer3": "чай",
    "mc_answer4": "кафе",
    "correct_answer_num": "2",
    "dialect": "bul_Cyrl",
}


def echoed(likelihood: Callable[[str], float]) -> Callable[[str, dict[str, Any]], dict[str, Any]]:
    """An endpoint whose tokens are words with the space before them, after one that begins every text."""

    def answer(path: str, body: dict[str, Any]) -> dict[str, Any]:
        assert path == "/completions" and body["echo"] and body["logprobs"] >= 0 and body["max_tokens"] == 0
        values = [[None, *map(likelihood, re.findall(r" ?[^ ]+", prompt))] for prompt in body["prompt"]]
        choices = [{"index": index, "logprobs": {"token_logprobs": told}} for index, told in enumerate(values)]
        return {"choices": choices[::-1]}

    return answer


def test_s1_s10_s27_arc_and_belebele_are_asked_and_scored(tmp_path: Path) -> None:
    file = jsonl(tmp_path / "questions.jsonl", *ARC, BELEBELE)
    words = {" a": -1.0, " fire": -1.5, " ice": -2.0, " мляко": -0.5}
    with scripted(echoed(lambda token: words.get(token, -3.0))) as endpoint:
        told = report("choice", file, "--url", endpoint.url)
    # Of ARC's first the longer option is less likely, and likelier by its letters; the second is wrong.
    und, bulgarian = told["languages"]["und"], told["languages"]["bul_Cyrl"]
    assert (und["accuracy"], und["per character"], und["per byte"]) == (0, 50, 50)
    assert und["chance"] == pytest.approx(100 * (1 / 2 + 1 / 3) / 2, abs=1e-4)
    assert bulgarian["accuracy"] == 100
    prompts = [prompt for _, body in endpoint.asked for prompt in body["prompt"]]
    assert "Question: Which is warm?\nAnswer: a fire" in prompts
    assert "Котката пие мляко.\nQuestion: Какво пие котката?\nAnswer: мляко" in prompts


def test_options_are_shown_with_letters_where_letters_are_asked_for(tmp_path: Path) -> None:
    file = jsonl(tmp_path / "questions.jsonl", BELEBELE)
    with scripted(echoed(lambda token: -1.0 if token == " B" else -2.0)) as endpoint:
        told = report("choice", file, "--url", endpoint.url, "--letters")
    assert told["languages"]["bul_Cyrl"]["accuracy"] == 100
    assert endpoint.asked[0][1]["prompt"][2].endswith("A. вода\nB. мляко\nC. чай\nD. кафе\nAnswer: B")


def test_the_tokens_beyond_those_of_the_context_are_the_options() -> None:
    assert log_likelihood([None, -1.0], [None, -1.1, -2.0, -4.0]) == -6.0
    with pytest.raises(ValueError, match="not echoed"):
        log_likelihood([None, -1.0], [None, -1.0])
    with pytest.raises(TypeError):
        log_likelihood([], [None, -1.0])


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"answerKey": "D"}, "no option has the label 'D'"),
        ({"question": {"stem": "x"}}, "at least two options"),
        ({"question": 1}, "neither of ARC's format nor of Belebele's"),
    ],
)
def test_a_question_without_a_right_option_is_refused(change: dict[str, Any], fault: str, tmp_path: Path) -> None:
    file = jsonl(tmp_path / "questions.jsonl", ARC[0] | change)
    assert fault in str(evaluated("choice", file, "--url", "http://127.0.0.1:9/v1").exception)


def test_s18_mte_and_le_are_those_of_three_fake_languages(tmp_path: Path) -> None:
    def rows(*right: bool) -> list[dict[str, Any]]:
        return [
            {"question": f"{'yes' if one else 'no'} {number}?", "targets": ["Right!"]}
            for number, one in enumerate(right)
        ]

    files = {
        name: jsonl(tmp_path / f"{name}.jsonl", *rows(*right))
        for name, right in {
            "nld": (True, True, True, False),
            "swh": (True, False, False, False),
            "tha": (True, True, False, False),
            "nld-en": (True, False, False, False),
            "swh-en": (True, True, True, True),
            "en-nld": (True, True, True, True),
        }.items()
    }
    own = [f"{name}={files[name]}" for name in ("nld", "swh", "tha")]
    with scripted(lambda _, body: completions("the right" if "yes" in body["prompt"] else "wrong")) as endpoint:
        told = report(
            *("answers", *own, "--url", endpoint.url),
            *("--to-english", f"nld={files['nld-en']}", "--to-english", f"swh={files['swh-en']}"),
            *("--from-english", f"nld={files['en-nld']}"),
        )
    exact = {name: one["exact match"] for name, one in told["languages"].items()}
    assert exact == {"nld_Latn": 75, "swh_Latn": 25, "tha_Thai": 50}
    assert told["across_languages"]["exact match"]["average"] == 50
    assert told["across_languages"]["exact match"]["gap"] == 50
    assert {name: one.get("MTE") for name, one in told["languages"].items()} == {
        "nld_Latn": 50,
        "swh_Latn": -75,
        "tha_Thai": None,
    }
    assert told["across_languages"]["MTE"]["average"] == pytest.approx(-12.5)
    assert told["languages"]["nld_Latn"]["LE"] == -25


def test_s18_solved_questions_of_the_language_come_first_in_its_own_words(tmp_path: Path) -> None:
    file = jsonl(tmp_path / "bul_Cyrl.jsonl", {"question": "Столица?", "targets": ["София"]})
    solved = jsonl(tmp_path / "solved" / "bul_Cyrl.jsonl", *({"question": f"{n}?", "target": f"{n}!"} for n in "аб"))
    prompts = tmp_path / "prompts.json"
    prompts.write_text('{"bg": "Въпрос: {question}\\nОтговор:"}', encoding="utf-8")
    with scripted(lambda path, body: completions(" София\nи") if path == "/completions" else message("София")) as one:
        common = (file, "--url", one.url, "--examples", solved, "--shots", 2, "--prompts", prompts)
        assert report("answers", *common)["languages"]["bul_Cyrl"]["exact match"] == 100
        report("answers", *common, "--chat", "--results", tmp_path / "chat.jsonl")
        refused = evaluated("answers", *common[:5], "--results", tmp_path / "five.jsonl")
    assert one.asked[0][1]["prompt"] == (
        "Въпрос: а?\nОтговор: а!\n\nВъпрос: б?\nОтговор: б!\n\nВъпрос: Столица?\nОтговор:"
    )
    assert one.asked[0][1]["stop"] == ["\n"]
    assert [turn["role"] for turn in one.asked[1][1]["messages"]] == ["user", "assistant"] * 2 + ["user"]
    assert "not 5 examples in bul_Cyrl" in str(refused.exception)


def test_s32_code_switched_texts_are_translated_and_scored_by_sacrebleu(tmp_path: Path) -> None:
    said = ["I will go to the market tomorrow.", "Please close the door.", "She was very happy."]
    wanted = ["I will go to market tomorrow.", "Close the door please.", "She was very happy."]
    mixed = ["main kal market jaunga", "please darwaza band karo", "woh bahut happy thi"]
    rows = [
        {"source": source, "target": target, "source_language": "mul", "target_language": "en"}
        for source, target in zip(mixed, wanted, strict=True)
    ]
    opus = {"translation": {"bg": "Добър ден.", "de": "Guten Tag."}}
    file = jsonl(tmp_path / "mixed.jsonl", *rows, opus)
    answers = {**dict(zip(mixed, said, strict=True)), "Добър ден.": "Guten Tag."}

    def answer(path: str, body: dict[str, Any]) -> dict[str, Any]:
        if path == "/translate":
            return {"translations": [{"text": answers[body["text"]]}]}
        return message(answers[body["messages"][0]["content"].rpartition("\n")[2]] + "\n")

    with scripted(answer) as endpoint:
        told = report("translate", file, "--url", endpoint.url)
        chatted = report("translate", file, "--url", endpoint.url, "--through", "chat", "--results", tmp_path / "chat")
    assert set(told["languages"]) == {"mul→eng_Latn", "bul_Cyrl→deu_Latn"}
    assert told["languages"]["mul→eng_Latn"]["BLEU"] == pytest.approx(
        sacrebleu.corpus_bleu(said, [wanted]).score, rel=1e-5
    )
    assert told["languages"]["mul→eng_Latn"]["chrF"] == pytest.approx(
        sacrebleu.corpus_chrf(said, [wanted]).score, rel=1e-5
    )
    assert chatted["languages"] == told["languages"]
    assert told["languages"]["bul_Cyrl→deu_Latn"]["script"] == "Latn"
    sources = {body["text"]: body["source"] for path, body in endpoint.asked if path == "/translate"}
    assert sources[mixed[0]] == "auto" and sources["Добър ден."] == "bul_Cyrl"
    prompts = [body["messages"][0]["content"] for path, body in endpoint.asked if path != "/translate"]
    assert f"Translate the following text to English.\n{mixed[0]}" in prompts
    assert "Translate the following Bulgarian text to German.\nДобър ден." in prompts


PAIRS = [
    {"id": 1, "prompt": "Hi", "chosen": "long answer", "rejected": "no", "subset": "chat", "language": "eng_Latn"},
    {"id": 2, "prompt": "So", "chosen": "no", "rejected": "longer", "subset": "safety", "language": "eng_Latn"},
    {"id": 1, "prompt": "Hoi", "chosen": "lang antwoord", "rejected": "nee", "subset": "chat", "language": "nld_Latn"},
    {"id": 2, "prompt": "Zo", "chosen": "langer", "rejected": "nee", "subset": "safety", "language": "nld_Latn"},
]


def test_s46_rewards_are_compared_by_language_category_and_with_english(tmp_path: Path) -> None:
    file = jsonl(tmp_path / "pairs.jsonl", *PAIRS)

    def answer(path: str, body: dict[str, Any]) -> dict[str, Any]:
        if path == "/score":
            return {"data": [{"index": index, "score": len(text)} for index, text in enumerate(body["text_2"])][::-1]}
        return {"data": [{"index": index, "probs": [len(text)]} for index, text in enumerate(body["input"])]}

    with scripted(answer) as endpoint:
        told = report("rewards", file, "--url", endpoint.url)
        templated = report(
            *("rewards", file, "--url", endpoint.url, "--results", tmp_path / "other.jsonl"),
            *("--template", "<user>{prompt}<bot>{answer}"),
        )
    english, dutch = told["languages"]["eng_Latn"], told["languages"]["nld_Latn"]
    assert (english["accuracy"], dutch["accuracy"], dutch["to English"]) == (50, 100, 50)
    assert dutch["kappa"] == 0 and english["kappa"] == 100
    assert told["more"]["categories"]["eng_Latn"] == {"chat": 100, "safety": 0}
    assert templated["languages"] == told["languages"]
    assert "<user>Hoi<bot>lang antwoord" in [text for _, body in endpoint.asked for text in body.get("input", ())]


def multi_if(language: str, *turns: tuple[str, list[str], list[dict[str, Any]]]) -> dict[str, Any]:
    """A row as Multi-IF writes it: JSON in texts, in which the arguments are JSON in texts again."""
    row: dict[str, Any] = {"language": language}
    for number, (prompt, kinds, arguments) in enumerate(turns, 1):
        row[f"turn_{number}_prompt"] = json.dumps({"role": "user", "content": prompt})
        row[f"turn_{number}_instruction_id_list"] = json.dumps(kinds)
        row[f"turn_{number}_kwargs"] = json.dumps([json.dumps(one) for one in arguments])
    return row


def test_s42_conversations_go_on_with_the_models_own_answers_and_are_scored_by_turn(tmp_path: Path) -> None:
    nothing: dict[str, Any] = {}
    comma, bullets = ("punctuation:no_comma", nothing), ("detectable_format:number_bullet_lists", {"num_bullets": 2})
    first = ("Write.", [comma[0]], [comma[1]])
    second = ("In two points.", [comma[0], bullets[0]], [comma[1], bullets[1]])
    ifeval = {"prompt": "Write.", "instruction_id_list": [comma[0]], "kwargs": [{"num_bullets": None}]}
    file = jsonl(
        tmp_path / "multi-if.jsonl",
        multi_if("English", first, second),
        multi_if("German", first, second),
        ifeval | {"language": "en"},
    )
    # English obeys at once and then half; German breaks the first rule, but for its first line, and then both.
    script = {
        "eng": ["One line", "- one, two\n- three"],
        "deu": ["Also, gut\nEine Zeile", "Nein, eins, zwei, drei"],
    }

    def answer(path: str, body: dict[str, Any]) -> dict[str, Any]:
        messages = body["messages"]
        turn = len(messages) // 2
        if turn == 0:
            return message(script["deu" if next(order) == 1 else "eng"][0])
        return message(script["deu" if messages[1]["content"] == script["deu"][0] else "eng"][1])

    order = iter(range(9))
    with scripted(answer) as endpoint:
        told = report("instructions", file, "--url", endpoint.url, "--clients", 1)
    turns = told["more"]["turns"]
    assert (turns["turn 1"]["count"], turns["turn 2"]["count"]) == (3, 2)
    assert (turns["turn 1"]["strict_prompt"], turns["turn 1"]["loose_prompt"]) == (pytest.approx(2 / 3, rel=1e-5), 1)
    second_turn = [
        turns["turn 2"][f"{way}_{unit}"] for way in ("strict", "loose") for unit in ("prompt", "instruction")
    ]
    # Loosely the English answer has no comma without its first line, but then one point less: each counts alone.
    assert second_turn == [0, 1 / 4, 1 / 2, 2 / 4]
    assert told["languages"]["deu_Latn"]["turn 1"] == 50
    assert told["languages"]["eng_Latn"]["turn 1"] == 100
    assert endpoint.asked[1][1]["messages"][1] == {"role": "assistant", "content": "One line"}


def test_s42_instructions_that_nothing_checks_are_refused_or_left_out_and_told_of(tmp_path: Path) -> None:
    unknown = jsonl(tmp_path / "a.jsonl", multi_if("English", ("Hi", ["multi-turn:constrained_start"], [{}])))
    refused = str(evaluated("instructions", unknown, "--url", "http://127.0.0.1:9/v1").exception)
    assert "line 1: Nothing checks instructions of the kind 'multi-turn:constrained_start'" in refused
    words = {"num_words": 1, "relation": "at least"}
    turn = ("Hi", ["length_constraints:number_words", "punctuation:no_comma"], [words, {}])
    thai = jsonl(tmp_path / "b.jsonl", multi_if("Thai", turn))
    with scripted(lambda path, body: message("สวัสดี")) as endpoint:
        told = report("instructions", thai, "--url", endpoint.url)
    assert told["more"]["unchecked"] == {"tha_Thai": 1}
    assert told["more"]["turns"]["turn 1"]["strict_instruction"] == 1


FUNCTION = {
    "name": "get_weather",
    "description": "Времето в град.",
    "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
}


def called(name: str, arguments: str) -> dict[str, Any]:
    call = {"id": "1", "type": "function", "function": {"name": name, "arguments": arguments}}
    return {"choices": [{"index": 0, "message": {"tool_calls": [call]}, "finish_reason": "tool_calls"}]}


def test_s14_rows_of_tucan_get_the_verdicts_of_its_evaluator(tmp_path: Path) -> None:
    expects = {
        "should_call_function": True,
        "expected_function": "get_weather",
        "expected_parameters": {"city": "София"},
    }
    answers = {
        "right": called("get_weather", '{"city": "Sofia."}'),
        "wrong parameters": called("get_weather", '{"city": "Varna"}'),
        "wrong function": called("get_time", '{"city": "Sofia"}'),
        "no call": message("Слънчево е."),
        "malformed": called("get_weather", '{"city": '),
        "unexpected": called("get_weather", '{"city": "София"}'),
        "none wanted": message("Здравей!"),
    }
    rows = [
        {
            "user_message": name,
            "functions": json.dumps([FUNCTION]),
            "expected_behavior": json.dumps(expects)
            if name not in {"unexpected", "none wanted"}
            else {"should_call_function": False},
            "scenario_type": "one" if name == "right" else "others",
        }
        for name in [*answers, "broken"]
    ]
    rows.append(rows[0] | {"user_message": "no expectation", "expected_behavior": "not JSON"})
    file = jsonl(tmp_path / "bul_Cyrl.jsonl", *rows)
    with scripted(lambda _, body: answers.get(body["messages"][0]["content"])) as endpoint:
        told = report("tools", file, "--url", endpoint.url)
    verdicts = told["more"]["verdicts"]
    assert verdicts["correct"] == 2
    assert verdicts["errors"] == dict.fromkeys(
        [
            "WRONG_PARAMETERS",
            "WRONG_FUNCTION",
            "NO_CALL_WHEN_EXPECTED",
            "MALFORMED_JSON",
            "UNEXPECTED_CALL",
            "API_ERROR",
            "DATA_FORMAT_ERROR",
        ],
        1,
    )
    assert verdicts["by_scenario"] == {"one": [1, 2], "others": [1, 7]}
    assert told["languages"]["bul_Cyrl"]["right"] == pytest.approx(100 * 2 / 9, rel=1e-5)
    assert endpoint.asked[0][1]["tool_choice"] == "auto"
    assert "no expectation" not in [body["messages"][0]["content"] for _, body in endpoint.asked]


def collection(folder: Path) -> Path:
    """Two queries about three documents, as BEIR writes them."""
    jsonl(
        folder / "corpus.jsonl",
        {"_id": "d1", "title": "Cats", "text": "They purr."},
        {"_id": "d2", "title": "", "text": "Dogs bark."},
        {"_id": "d3", "text": "Fish swim."},
    )
    jsonl(
        folder / "queries.jsonl",
        *({"_id": name, "text": text} for name, text in {"q1": "cats", "q2": "dogs", "q3": "none"}.items()),
    )
    (folder / "qrels").mkdir()
    lines = ["query-id\tcorpus-id\tscore", "q1\td1\t2", "q1\td3\t1", "q2\td2\t1", "q3\td1\t0"]
    (folder / "qrels" / "test.tsv").write_text("\n".join(lines), encoding="utf-8")
    return folder


def test_s2_s36_documents_are_ranked_by_cosines_and_measured_by_language(tmp_path: Path) -> None:
    folder = collection(tmp_path / "deu_Latn")
    # q1 is nearest to d3, then d1; q2 to d2. Lengths differ, and do not matter.
    vectors = {
        "cats": [1.0, 0.0],
        "dogs": [0.0, 3.0],
        "Cats They purr.": [4.0, 3.0],
        "Dogs bark.": [0.0, 0.5],
        "Fish swim.": [10.0, 0.1],
    }

    def answer(path: str, body: dict[str, Any]) -> dict[str, Any]:
        return {"data": [{"index": n, "embedding": vectors[text]} for n, text in enumerate(body["input"])]}

    with scripted(answer) as endpoint:
        told = report("retrieval", folder, "--url", endpoint.url, "-k", 2, "--instruction", "query")
    figures = told["languages"]["deu_Latn"]
    first = (1 + 2 / 1.584962500721156) / (2 + 1 / 1.584962500721156)
    assert figures["nDCG@2"] == pytest.approx(100 * (first + 1) / 2, rel=1e-5)
    assert (figures["recall@2"], figures["MRR@2"]) == (100, 100)
    asked = {tuple(body["input"]): body.get("instruction") for _, body in endpoint.asked}
    assert asked == {("cats", "dogs"): "query", ("Cats They purr.", "Dogs bark.", "Fish swim."): None}
    assert told["more"]["collections"][str(folder)] == {"queries": 2, "documents": 3}


def test_a_folder_that_is_not_of_beirs_layout_is_refused(tmp_path: Path) -> None:
    folder = collection(tmp_path / "deu_Latn")
    refused = evaluated("retrieval", folder, "--split", "dev", "--url", "http://127.0.0.1:9/v1")
    assert "dev.tsv cannot be read" in str(refused.exception)
    (folder / "qrels" / "test.tsv").write_text("query-id\tcorpus-id\tscore\nq1 d1 1\n", encoding="utf-8")
    refused = evaluated("retrieval", folder, "--url", "http://127.0.0.1:9/v1")
    assert "test.tsv, line 2" in str(refused.exception)
    (folder / "queries.jsonl").unlink()
    refused = evaluated("retrieval", folder, "--url", "http://127.0.0.1:9/v1")
    assert "There is no" in str(refused.exception) and "queries.jsonl" in str(refused.exception)
