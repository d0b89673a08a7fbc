"""Published systems as they are served: converted from a tiny checkpoint of their shape, and asked by the runtime."""

from __future__ import annotations

import itertools
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import regex
import tokenizers
import transformers
from tokenizers import normalizers

from converters.convert import Converted, Request, convert
from converters.gguf.vocabulary import open_vocabulary
from converters.probes import DECLARATION
from runtime.chat.template import Message
from runtime.engine.constraints import Constraint
from runtime.engine.messages import Delta, Generate
from runtime.engine.sampling import SamplingParams
from runtime.model import Model, load
from tests.runtime.chat.test_template import CHATML, GEMMA2
from tests.tiny import tokenizers as tiny_tokenizers
from tests.tiny.checkpoints import save_checkpoint, tiny_gemma2, tiny_llama, tiny_qwen2

INDIC = ("ben_Beng", "hin_Deva", "ory_Orya", "tam_Taml", "tel_Telu")
SOUTH_EAST_ASIAN = ("tha_Thai", "lao_Laoo", "khm_Khmr", "mya_Mymr")

# BayLing's own words, and the roles of its two generations.
BAYLING_SYSTEM = (
    "I am an intelligent language assistant developed by the NLP Group of ICT/CAS.\nBelow is a dialog consisting of "
    "instructions and responses. Write a response that completes the request.\n"
)
BAYLING_LLAMA2 = (
    "{{ '" + BAYLING_SYSTEM.replace("\n", "\\n") + "' }}\n"
    "{%- for message in messages -%}{%- if message.role == 'user' -%}"
    "{{ '### Instruction:\\n' + message.content + '\\n' }}"
    "{%- else -%}{{ '### Response:\\n' + message.content + eos_token }}{%- endif -%}{%- endfor -%}"
    "{%- if add_generation_prompt -%}{{ '### Response:\\n' }}{%- endif -%}"
)
BAYLING_LLAMA3 = (
    "{{ bos_token + '<|start_header_id|>system<|end_header_id|>\\n\\nI am BayLing developed by the NLP Group of ICT/CAS."
    "<|eot_id|>' }}{%- for message in messages -%}"
    "{{ '<|start_header_id|>' + message.role + '<|end_header_id|>\\n\\n' + message.content + '<|eot_id|>' }}"
    "{%- endfor -%}"
    "{%- if add_generation_prompt -%}{{ '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}{%- endif -%}"
)


def converted(
    folder: Path, model: Any, tokenizer: tokenizers.Tokenizer, template: str | None = None, ends: Sequence[int] = (),
    **special: str,
) -> Converted:  # fmt: skip
    settings = {"tokenizer_class": "PreTrainedTokenizerFast", **special}
    save_checkpoint(
        folder, model, tokenizer, tokenizer_config=settings | ({"chat_template": template} if template else {})
    )
    if ends:
        (folder / "generation_config.json").write_text(json.dumps({"eos_token_id": list(ends)}))
    return convert(Request(str(folder), folder / "a.gguf", "f32"))


def assert_asked_as_by_transformers(done: Converted, opened: Model, turns: Sequence[Message]) -> str:
    """The prompt of a conversation and its ids are those of `apply_chat_template`; returns the prompt."""
    reference: Any = transformers.AutoTokenizer.from_pretrained(done.path.parent)
    told = [{"role": turn.role, "content": turn.content} for turn in turns]
    prompt = opened.card.template.render(turns)
    assert prompt == reference.apply_chat_template(told, tokenize=False, add_generation_prompt=True)
    with open_vocabulary(done.path) as vocabulary:
        ids = vocabulary.read.encode(prompt, parse_special=True)
    # A beginning that the template writes is not doubled.
    is_begun = reference.bos_token is not None and prompt.startswith(reference.bos_token)
    assert ids == reference(prompt, add_special_tokens=not is_begun)["input_ids"]
    return prompt


def with_special(tokenizer: tokenizers.Tokenizer, *names: str) -> tokenizers.Tokenizer:
    tokenizer.add_special_tokens(list(names))
    return tokenizer


def assert_streamed_whole(opened: Model, language: str) -> None:
    """Pieces of an answer in a language's letters end where a reader's characters end, and none is lost."""
    letters = "".join(sorted(set(regex.findall(r"[\p{L}\p{M}]", DECLARATION[language]))))
    wanted = Constraint("regex", f"[{letters}]{{16}}")
    for seed in range(3):
        request = Generate(f"{seed}", "?", SamplingParams(seed=seed), max_tokens=80, constraint=wanted)
        pieces = [event.text for event in opened.events(request) if isinstance(event, Delta)]
        whole = "".join(pieces)
        borders = {found.end() for found in regex.finditer(r"\X", whole)}
        assert set(itertools.accumulate(map(len, pieces))) <= borders | {0}
        assert len(whole) == 16
        assert set(whole) <= set(letters)


@pytest.mark.parametrize("language", INDIC)
def test_paramanu_streams_its_scripts_in_whole_characters(language: str, tmp_path: Path) -> None:
    tokenizer = tiny_tokenizers.sentencepiece()
    done = converted(tmp_path / "paramanu", tiny_llama(tokenizer.get_vocab_size()), tokenizer)
    with load(str(done.path)) as opened:
        assert_streamed_whole(opened, language)


@pytest.mark.parametrize("language", SOUTH_EAST_ASIAN)
def test_seallms_is_asked_in_chatml_and_streams_its_scripts(language: str, tmp_path: Path) -> None:
    tokenizer = with_special(tiny_tokenizers.qwen2(), "<|im_start|>", "<|im_end|>")
    model = tiny_qwen2(tokenizer.get_vocab_size(), max_position_embeddings=2048)
    done = converted(tmp_path / "seallms", model, tokenizer, CHATML, eos_token="<|im_end|>")
    turns = [Message("system", "You are helpful."), Message("user", DECLARATION[language])]
    with load(str(done.path)) as opened:
        assert_asked_as_by_transformers(done, opened, [*turns, Message("assistant", "1 ๑"), turns[1]])
        assert_streamed_whole(opened, language)
    # What the edge pays for a script is told for each.
    figures = done.manifest.tokenizer["fertility"][language]
    assert figures["tokens"] == len(tokenizer.encode(DECLARATION[language]).ids)
    assert figures["words"] is None


def test_nilechat_is_asked_in_arabic_and_its_text_comes_back_as_it_was(tmp_path: Path) -> None:
    tokenizer = with_special(tiny_tokenizers.qwen2(), "<|im_start|>", "<|im_end|>")
    done = converted(tmp_path / "nilechat", tiny_qwen2(tokenizer.get_vocab_size()), tokenizer, CHATML)
    text = "عندي سؤال: 3andi so2al على \u200fiPhone 15؟ ١٢٣"
    with load(str(done.path)) as opened:
        prompt = assert_asked_as_by_transformers(done, opened, [Message("user", text)])
    with open_vocabulary(done.path) as vocabulary:
        tokens = vocabulary.read.encode(text, parse_special=False)
        assert b"".join(map(vocabulary.read.token_bytes, tokens)).decode() == text
    assert text in prompt


def test_bayling_2_over_llama_2_is_asked_in_its_words_and_ends_at_its_end(tmp_path: Path) -> None:
    tokenizer = tiny_tokenizers.sentencepiece()
    model = tiny_llama(tokenizer.get_vocab_size(), max_position_embeddings=512)
    special = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"}
    done = converted(tmp_path / "bayling", model, tokenizer, BAYLING_LLAMA2, ends=[2], **special)
    with load(str(done.path)) as opened:
        prompt = assert_asked_as_by_transformers(
            done, opened, [Message("user", "Здравей"), Message("assistant", "你好"), Message("user", "Hello")]
        )
        answer = opened.chat("Hello", max_tokens=20, logit_bias={2: 100.0})
    assert prompt == (
        f"{BAYLING_SYSTEM}### Instruction:\nЗдравей\n### Response:\n你好</s>### Instruction:\nHello\n### Response:\n"
    )
    assert (answer.text, answer.finish_reason) == ("", "stop")


@pytest.mark.parametrize("end", ["<|eot_id|>", "<|end_of_text|>", "</s>"])
def test_bayling_2_over_llama_3_ends_at_each_of_its_three_ends(end: str, tmp_path: Path) -> None:
    names = ("<|eot_id|>", "<|end_of_text|>", "</s>")
    tokenizer = with_special(tiny_tokenizers.llama3(), *names, "<|start_header_id|>", "<|end_header_id|>")
    model = tiny_llama(tokenizer.get_vocab_size(), max_position_embeddings=512)
    ids = [tokenizer.token_to_id(name) or 0 for name in names]
    special = {"bos_token": "<|begin_of_text|>", "eos_token": "<|eot_id|>"}
    done = converted(tmp_path / "bayling-3", model, tokenizer, BAYLING_LLAMA3, ends=ids, **special)
    with load(str(done.path)) as opened:
        turns = [Message("user", "Привет"), Message("assistant", "你好"), Message("user", "Hello")]
        reference: Any = transformers.AutoTokenizer.from_pretrained(done.path.parent)
        told = [{"role": turn.role, "content": turn.content} for turn in turns]
        prompt = opened.card.template.render(turns)
        assert prompt == reference.apply_chat_template(told, tokenize=False, add_generation_prompt=True)
        answer = opened.chat(turns, max_tokens=20, logit_bias={tokenizer.token_to_id(end) or 0: 100.0})
    assert prompt.startswith(
        "<|begin_of_text|><|start_header_id|>system<|end_header_id|>\n\n"
        "I am BayLing developed by the NLP Group of ICT/CAS.<|eot_id|>"
    )
    assert (answer.text, answer.finish_reason) == ("", "stop")
    with open_vocabulary(done.path) as vocabulary:
        # The template writes the beginning that the tokenizer would put there too.
        assert (
            vocabulary.read.encode(prompt, parse_special=True).count(tokenizer.token_to_id("<|begin_of_text|>") or 0)
            == 1
        )


def test_lucie_is_read_by_its_own_normalizer_with_one_beginning_and_two_ends(tmp_path: Path) -> None:
    tokenizer = tiny_tokenizers.sentencepiece()
    spaced = [normalizers.Replace(each, f" {each}") for each in ("\n", "\t", "(", "«", "'", "’")]
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFC(), *spaced, tokenizer.normalizer])
    with_special(tokenizer, "<|eot_id|>")
    end = tokenizer.token_to_id("<|eot_id|>") or 0
    template = "{{ bos_token }}{% for m in messages %}{{ m.content }}<|eot_id|>{% endfor %}"
    special = {"bos_token": "<s>", "eos_token": "<|eot_id|>"}
    model = tiny_llama(tokenizer.get_vocab_size())
    done = converted(tmp_path / "lucie", model, tokenizer, template, ends=[2, end], **special)
    text = "«Bonjour»\n\tL'été (1)"
    with load(str(done.path)) as opened:
        assert opened.tokenize(text) == tokenizer.encode(text).ids
        prompt = opened.card.template.render([Message("user", text)])
        for token in (2, end):
            assert opened.chat(text, max_tokens=9, logit_bias={token: 100.0}).finish_reason == "stop"
    with open_vocabulary(done.path) as vocabulary:
        assert vocabulary.own.encode(text, parse_special=False) != tokenizer.encode(text).ids
        assert vocabulary.read.encode(prompt, parse_special=True).count(1) == 1


def test_tucan_gets_its_system_message_in_the_first_turn_and_ends_at_the_end_of_a_turn(tmp_path: Path) -> None:
    tokenizer = with_special(tiny_tokenizers.gemma(), "<start_of_turn>", "<end_of_turn>")
    model = tiny_gemma2(tokenizer.get_vocab_size())
    end = tokenizer.token_to_id("<end_of_turn>") or 0
    done = converted(tmp_path / "tucan", model, tokenizer, GEMMA2, ends=[2, end], bos_token="<s>", eos_token="</s>")
    with load(str(done.path)) as opened:
        assert opened.card.template.render([Message("system", "Бъди кратък."), Message("user", "Здравей!")]) == (
            "<s><start_of_turn>user\nБъди кратък.\n\nЗдравей!<end_of_turn>\n<start_of_turn>model\n"
        )
        assert_asked_as_by_transformers(done, opened, [Message("user", "Какво е времето?")])
        for token in (2, end):
            assert opened.chat("Здравей!", max_tokens=9, logit_bias={token: 100.0}).finish_reason == "stop"
