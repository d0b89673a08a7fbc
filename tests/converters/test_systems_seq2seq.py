"""Published encoder-decoders that must be served, each as a tiny checkpoint of its shape."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import tokenizers
import torch

from converters.convert import Request, convert
from converters.gguf.vocabulary import open_vocabulary
from runtime.chat.template import Message
from runtime.engine.constraints import Constraint
from runtime.engine.messages import Delta, Generate
from runtime.engine.sampling import SamplingParams
from runtime.model import Model, load
from tests.tiny import tokenizers as tiny_tokenizers
from tests.tiny.checkpoints import save_checkpoint, tiny_mt5, tiny_t5

ITEMS = ("<A1>", "<A9>", "<A12>")


def opened(folder: Path, model: Any, tokenizer: tokenizers.Tokenizer) -> Model:
    save_checkpoint(folder, model, tokenizer)
    return load(str(convert(Request(str(folder), folder / "a.gguf", "f32")).path))


def reference(model: Any, tokenizer: tokenizers.Tokenizer, text: str, num_tokens: int = 8) -> str:
    """What transformers answers, greedily, without the space before the first word."""
    with torch.no_grad():
        found = model.generate(torch.tensor([tokenizer.encode(text).ids]), max_new_tokens=num_tokens, do_sample=False)
    return tokenizer.decode(found[0].tolist(), skip_special_tokens=True).strip()


def test_mt0_is_asked_in_plain_words_and_nothing_is_put_around_them(tmp_path: Path) -> None:
    tokenizer = tiny_tokenizers.unigram()
    model = tiny_mt5(tokenizer.get_vocab_size())
    question = "Translate to English: Je t’aime."
    with opened(tmp_path / "mt0", model, tokenizer) as mt0:
        assert mt0.card.template.render([Message("user", question)]) == question
        assert mt0.chat(question, max_tokens=8, temperature=0).text.strip() == reference(model, tokenizer, question)


def test_t5_small_keeps_the_words_of_its_task_before_mixed_languages(tmp_path: Path) -> None:
    tokenizer = tiny_tokenizers.unigram()
    model = tiny_t5(tokenizer.get_vocab_size())
    task, mixed = "translate Hinglish to English: ", "मैंने gym जाना start किया"
    with opened(tmp_path / "t5-small", model, tokenizer) as t5:
        answer = t5.complete(task + mixed, max_tokens=8, temperature=0).text
        ids = t5.tokenize(task + mixed)
    assert answer.strip() == reference(model, tokenizer, task + mixed)
    plain = tokenizer.encode(task.strip(), add_special_tokens=False).ids
    assert ids[: len(plain)] == plain


def test_madlad_s_token_of_the_target_language_is_one_token_and_changes_the_answer(tmp_path: Path) -> None:
    tokenizer = tiny_tokenizers.unigram()
    tokenizer.add_tokens(["<2es>", "<2bg>"])
    model = tiny_mt5(tokenizer.get_vocab_size())
    with opened(tmp_path / "madlad", model, tokenizer) as madlad:
        answers = {}
        for target in ("<2es>", "<2bg>"):
            text = f"{target} How are you?"
            assert madlad.tokenize(text)[0] == tokenizer.token_to_id(target)
            answers[target] = madlad.complete(text, max_tokens=8, temperature=0).text
            assert answers[target].strip() == reference(model, tokenizer, text)
    assert answers["<2es>"] != answers["<2bg>"]


def test_p5_answers_with_one_of_its_candidates_each_item_one_token(tmp_path: Path) -> None:
    tokenizer = tiny_tokenizers.unigram()
    tokenizer.add_tokens(list(ITEMS))
    model = tiny_t5(tokenizer.get_vocab_size())
    candidates = [first + second for first in ITEMS for second in ITEMS if first != second]
    found = set()
    with opened(tmp_path / "p5", model, tokenizer) as p5:
        for seed in range(10):
            constraint = Constraint("choice", json.dumps(candidates))
            request = Generate(
                f"{seed}", "the user bought <A1>", SamplingParams(seed=seed), max_tokens=9, constraint=constraint
            )
            *deltas, _ = p5.events(request)
            found.add("".join(delta.text for delta in deltas if isinstance(delta, Delta)).strip())
        with open_vocabulary(p5.card.file.path) as vocabulary:
            for candidate in candidates:
                tokens = vocabulary.read.encode(candidate, parse_special=False)
                assert "".join(str(tokenizer.id_to_token(token)) for token in tokens[-3:-1]) == candidate
    assert len(found) > 1
    assert found <= set(candidates)
