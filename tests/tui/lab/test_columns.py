"""The parts of the lab without a screen: columns as they are typed, how languages are asked for, figures, order."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from runtime.chat.reasoning import Piece
from runtime.errors import InvalidRequest, UnknownLanguage
from runtime.language.codes import parse
from tests.tui.endpoint import KEY, WAIT, FakeEndpoint, Thought
from tui.choosing.choices import Choices, Lock
from tui.choosing.sampling import Sampling
from tui.events import AnswerFinished, Endpoint
from tui.lab.asking import instruction, sentences
from tui.lab.column import Column
from tui.lab.figures import figures_of, in_language
from tui.lab.lab import Lab
from tui.lab.trial import Trial

HARD = Lock("bul_Cyrl", "hard")


def test_a_column_is_read_as_it_is_typed() -> None:
    assert Column.read("gemma") == Column("gemma")
    typed = "hf:a/b:Q4_K_M, language=Bulgarian, lock=bg hard, adapter=law"
    assert Column.read(typed) == Column("hf:a/b:Q4_K_M", "law", "bul_Cyrl", HARD)
    assert Column.read("gemma,lock=auto").lock == Lock("auto", "soft")
    assert Column.read("gemma,lock=off,language=none,adapter=none") == Column("gemma")


@pytest.mark.parametrize("text", ["", ",lock=auto", "gemma,lock", "gemma,model=x", "gemma,temperature=1"])
def test_what_is_no_column_is_refused_with_how_to_write_one(text: str) -> None:
    with pytest.raises(InvalidRequest, match="Write MODEL,adapter=NAME"):
        Column.read(text)


def test_an_unknown_language_is_refused_by_name() -> None:
    with pytest.raises(UnknownLanguage, match="xxyyzz"):
        Column.read("gemma,language=xxyyzz")


def test_a_lab_begins_with_the_conversation_s_model_free_and_locked() -> None:
    free, locked = Lab.beside("gemma", Choices("law", sampling=Sampling(seed=1))).columns
    assert (free, locked) == (Column("gemma", "law"), Column("gemma", "law", lock=Lock("auto", "hard")))
    free, locked = Lab.beside("gemma", Choices(lock=HARD)).columns
    assert (free.lock, locked.lock) == (None, HARD)


def test_a_lab_has_two_to_four_columns() -> None:
    lab = Lab([Column("a"), Column("b")])
    with pytest.raises(InvalidRequest, match="at least 2"):
        lab.remove(0)
    lab.add(0)
    lab.add(2)
    assert [column.model for column in lab.columns] == ["a", "a", "b", "b"]
    with pytest.raises(InvalidRequest, match="at most 4"):
        lab.add(0)
    lab.remove(1)
    assert [column.model for column in lab.columns] == ["a", "b", "b"]
    with pytest.raises(InvalidRequest, match="2 to 4 columns, and not 1"):
        Lab([Column("a")])


def test_a_language_is_asked_for_in_itself() -> None:
    for code, sentence in sentences().items():
        assert str(parse(code)) == code
        if parse(code).script != "Latn":
            assert in_language(Column("m", language=code), "", sentence).found[0].language[-4:] == code[-4:]
    assert instruction("bul_Cyrl") == "Отговаряй само на български език."
    assert instruction("isl_Latn") == "Answer in this language only: Icelandic, íslenska."


def test_fidelity_is_to_the_language_asked_for_else_of_the_lock_else_of_the_prompt() -> None:
    answer, prompt = "Столицата на България е София.", "What is the capital of Bulgaria?"
    assert in_language(Column("m", language="bul_Cyrl", lock=Lock("deu_Latn")), prompt, answer).fidelity == 1.0
    assert in_language(Column("m", lock=Lock("deu_Latn")), prompt, answer).asked == "deu_Latn"
    told = in_language(Column("m"), prompt, answer)
    assert (told.asked, told.fidelity, told.num_foreign_characters) == ("eng_Latn", 0.0, None)
    assert in_language(Column("m"), "42?", answer).fidelity is None


def test_a_lock_held_where_nothing_foreign_came_but_in_code() -> None:
    told = in_language(Column("m", lock=HARD), "", "Да.\n```\nprint(1)\n```\n")
    assert told.num_foreign_characters == 0
    assert in_language(Column("m", lock=HARD), "", "Да, yes.").num_foreign_characters == 3
    assert in_language(Column("m", lock=Lock("auto")), "はい?", "はい、yes。").num_foreign_characters == 3


def test_graphemes_are_what_people_count() -> None:
    text = "क्षि 👩‍👩‍👧 e\u0301"
    figures = figures_of(AnswerFinished("stop", 11, len(text), 0.5, 2.0, num_cached_tokens=3), text)
    assert (figures.num_characters, figures.num_graphemes, figures.num_cached_tokens) == (len(text), 5, 3)
    assert (figures.tokens_per_second, figures.characters_per_second) == (5.0, round(len(text) / 2.5, 2))


async def taken(lab: Lab, fake: FakeEndpoint, stop: Sequence[int] = ()) -> list[str]:
    """What happens while a lab asks: states and pieces by column; the first piece stops the columns `stop`."""
    told: list[str] = []

    async def on_change(trial: Trial) -> None:
        told.append(f"{lab.trials.index(trial)} {trial.state}")

    async def on_piece(trial: Trial, piece: Piece) -> None:
        told.append(f"{lab.trials.index(trial)} {piece.text}")
        if len(told) <= 3:
            for at in stop:
                found = lab.trials[at]
                assert found is not None
                asyncio.get_running_loop().create_task(lab.stop(found))

    lab.ask("Да?")
    await lab.run(Endpoint(fake.url, KEY), on_change, on_piece)
    return list(dict.fromkeys(told))


async def test_columns_are_asked_in_turn_or_all_at_once(fake: FakeEndpoint) -> None:
    lab = Lab([Column("small", language="bul_Cyrl"), Column("large", lock=HARD)], sampling=Sampling(seed=7))
    fake.script = [["а"], [Thought("хм"), "б"]]
    assert await taken(lab, fake) == [
        *("0 loading", "0 answering", "0 а", "0 complete"),
        *("1 loading", "1 answering", "1 хм", "1 б", "1 complete"),
    ]
    first, second = fake.requests
    assert first["messages"] == [
        {"role": "system", "content": "Отговаряй само на български език."},
        {"role": "user", "content": "Да?"},
    ]
    assert (first["model"], first["seed"], "language" in first) == ("small", 7, False)
    assert (second["model"], second["language"], second["mode"]) == ("large", "bul_Cyrl", "hard")
    assert [trial and (trial.text, trial.reasoning) for trial in lab.trials] == [("а", ""), ("б", "хм")]

    lab.next_order()
    fake.script = [["а", WAIT], ["б", WAIT]]
    asking = asyncio.create_task(taken(lab, fake))
    async with asyncio.timeout(10):
        while not all(trial and trial.state == "answering" and trial.text for trial in lab.trials):
            await asyncio.sleep(0.01)
    assert lab.is_running
    fake.go_on.set()
    assert {"0 complete", "1 complete"} <= set(await asking)


async def test_one_column_is_stopped_and_the_next_one_answers(fake: FakeEndpoint) -> None:
    lab = Lab([Column("small"), Column("large"), Column("small")])
    fake.script = [["а", WAIT, "never"], ["б"]]
    told = await taken(lab, fake, stop=[0, 2])
    assert told == [
        *("0 loading", "0 answering", "0 а", "0 stopped"),
        *("1 loading", "1 answering", "1 б", "1 complete", "2 stopped"),
    ]
    assert [trial and trial.text for trial in lab.trials] == ["а", "б", ""]


async def test_what_fails_is_told_in_its_column_with_a_next_step(fake: FakeEndpoint) -> None:
    lab = Lab([Column("small"), Column("large")])
    fake.script = [{"message": "Too long.", "code": "context_length_exceeded"}, ["б"]]
    await taken(lab, fake)
    first, second = lab.trials
    assert first is not None
    assert (first.state, first.fault) == (
        "failed",
        "Too long. Ask it something shorter, or choose another model.",
    )
    assert second is not None
    assert second.state == "complete"


async def test_demotic_s_server_loads_and_warms_a_model_before_it_is_measured(fake: FakeEndpoint) -> None:
    fake.models = [{"id": "small", "demotic": {"capabilities": ["chat"], "quantization": "Q4_K_M"}}, {"id": "large"}]
    lab = Lab([Column("small", lock=HARD), Column("large")])
    fake.script = [["x"], ["а"], ["б"], ["в"], ["г"]]
    await taken(lab, fake)
    assert fake.loaded == ["small"]
    warm, first, second = fake.requests
    assert (warm["model"], warm["max_tokens"], warm["language"]) == ("small", 1, "bul_Cyrl")
    assert first["messages"][-1]["content"] == second["messages"][-1]["content"] == "Да?"
    await taken(lab, fake)
    assert len(fake.requests) == 5  # it is warm still
