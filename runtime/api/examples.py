"""An example or more of each endpoint's body, as `/docs` shows them. A test sends every one of them to a server."""

from __future__ import annotations

from typing import Any

_CHAT, _BASE = "smollm2-135m-instruct", "gemma-3-270m"
_VECTORS, _RERANKER, _CLASSIFIER = "qwen3-embedding-0.6b", "bge-reranker-v2-m3", "my-classifier"
_LABELLER, _GUESSER = "my-ner-onnx", "xlm-roberta-base-onnx"
_TRANSLATOR = "my-translator"
_QUESTION = "What is the capital of France? Answer in one sentence."
_TURNS = [{"role": "user", "content": _QUESTION}]
_PERSON = {
    "type": "object",
    "properties": {"име": {"type": "string", "maxLength": 20}, "възраст": {"type": "integer", "maximum": 130}},
    "required": ["име", "възраст"],
    "additionalProperties": False,
}

# What the path's parameters mean, and one that is there.
PARAMETERS = {
    "name": ("A served model's name, or MODEL:ADAPTER.", _CHAT),
    "response_id": ("The id of a kept answer.", "resp_4f6c0e0b5b0f4a6f9f1f6f1c3a7d2e10"),
    "limit": ("How many items at most.", 20),
    "order": ("`desc`: the newest first.", "desc"),
    "after": ("The id of the item before the first one.", None),
}

# Path -> what an example shows -> body.
EXAMPLES: dict[str, dict[str, dict[str, Any]]] = {
    "/v1/chat/completions": {
        "A question": {"model": _CHAT, "messages": _TURNS, "max_completion_tokens": 40, "temperature": 0},
        "Streamed, with token counts at its end": {
            "model": _CHAT,
            "messages": [{"role": "system", "content": "You are brief."}, *_TURNS],
            "max_completion_tokens": 40,
            "stream": True,
            "stream_options": {"include_usage": True},
        },
        "JSON that matches a schema": {
            "model": _CHAT,
            "messages": [{"role": "user", "content": "Аз съм Мария и съм на 34 години."}],
            "max_completion_tokens": 60,
            "response_format": {
                "type": "json_schema",
                "json_schema": {"name": "person", "schema": _PERSON, "strict": True},
            },
        },
        "Two answers with their logprobs": {
            "model": _CHAT,
            "messages": _TURNS,
            "max_completion_tokens": 8,
            "n": 2,
            "seed": 7,
            "logprobs": True,
            "top_logprobs": 3,
        },
    },
    "/v1/completions": {
        "A text to go on with": {"model": _BASE, "prompt": "Érase una vez", "max_tokens": 16, "temperature": 0.7},
        "How likely a text is": {
            "model": _BASE,
            "prompt": "Жили-были дед да баба.",
            "max_tokens": 0,
            "echo": True,
            "logprobs": 0,
        },
        "One of several words": {
            "model": _BASE,
            "prompt": "The colour of the sky is",
            "guided_choice": ["blue", "red", "green"],
        },
    },
    "/v1/responses": {
        "A question": {"model": _CHAT, "input": _QUESTION, "max_output_tokens": 40, "temperature": 0},
        "Streamed, and not kept": {
            "model": _CHAT,
            "instructions": "You are brief.",
            "input": [{"role": "user", "content": [{"type": "input_text", "text": _QUESTION}]}],
            "max_output_tokens": 40,
            "stream": True,
            "store": False,
        },
    },
    "/v1/messages": {
        "A question": {"model": _CHAT, "max_tokens": 40, "system": "You are brief.", "messages": _TURNS},
        "Streamed": {"model": _CHAT, "max_tokens": 40, "messages": _TURNS, "stream": True},
    },
    "/v1/messages/count_tokens": {"A question": {"model": _CHAT, "messages": _TURNS}},
    "/v1/embeddings": {
        "Two texts": {"model": _VECTORS, "input": ["猫が座る", "un gato sentado"]},
        "A query with what it is for, in 32 dimensions": {
            "model": _VECTORS,
            "input": "What is the capital of China?",
            "instruction": "Given a web search query, retrieve relevant passages that answer the query",
            "dimensions": 32,
            "encoding_format": "base64",
        },
        "A long text in windows": {"model": _VECTORS, "input": "A cat sat on a mat. " * 10, "chunk": True},
    },
    "/v1/rerank": {
        "The best of two documents": {
            "model": _RERANKER,
            "query": "Where does the cat sit?",
            "documents": ["Котката седи на стола.", "Paris is in France."],
            "top_n": 1,
            "return_documents": True,
        }
    },
    "/v1/score": {
        "One text against two": {
            "model": _RERANKER,
            "text_1": "Where does the cat sit?",
            "text_2": ["Котката седи на стола.", "Paris is in France."],
        }
    },
    "/v1/classify": {
        "Two texts": {"model": _CLASSIFIER, "input": ["Чудесен филм!", "A dull film."]},
        "A long text in windows": {"model": _CLASSIFIER, "input": "A dull film. " * 10, "chunk": True},
    },
    "/v1/token-classify": {
        "The names in a text": {"model": _LABELLER, "input": "Мария пътува до София."},
        "One label a word, of a long text in windows": {
            "model": _LABELLER,
            "input": ["Wolfgang lebt in Berlin. " * 10],
            "aggregation_strategy": "first",
            "chunk": True,
        },
    },
    "/v1/fill-mask": {
        "A hidden word": {"model": _GUESSER, "input": "La capitale de la France est [MASK].", "top_k": 3},
        "One of two tokens": {"model": _GUESSER, "input": ["The cat <mask> on the mat."], "targets": ["a", "e"]},
    },
    "/v1/translate": {
        "A text": {
            "model": _TRANSLATOR,
            "text": "Котката седи на стола.",
            "source": "bg",
            "target": "en",
            "max_tokens": 20,
        },
        "The two best of four beams": {
            "model": _TRANSLATOR,
            "text": ["Добър ден.", "Paka ameketi."],
            "target": "English",
            "num_beams": 4,
            "n": 2,
            "max_tokens": 20,
        },
        "A page, sentence by sentence": {
            "model": _TRANSLATOR,
            "text": "<h1>Котки</h1><p>Котката седи. Тя спи.</p>",
            "format": "html",
            "source": "bul_Cyrl",
            "target": "eng_Latn",
            "max_tokens": 20,
            "stream": True,
        },
    },
    "/translate": {"A text": {"q": "Котката седи.", "source": "bg", "target": "en", "alternatives": 1}},
    "/detect": {"A text": {"q": "Котката седи на стола и спи."}},
    "/tokenize": {
        "Token ids": {"model": _CHAT, "text": "Érase una vez"},
        "With what they stand for": {"model": _CHAT, "text": "Érase una vez", "with_pieces": True},
    },
    "/detokenize": {"Two tokens": {"model": _CHAT, "tokens": [19556, 905]}},
    "/v1/chat/completions/tokens": {"A question": {"model": _CHAT, "messages": _TURNS}},
    "/v1/models/load": {"A model": {"model": _CHAT}},
    "/v1/models/unload": {"A model": {"model": _CHAT}, "Whatever it does": {"model": _CHAT, "force": True}},
}
