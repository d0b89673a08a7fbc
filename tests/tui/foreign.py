"""Endpoints as other programs have them: their lists of models, their streams, their refusals."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class Foreign:
    """`models` is what `GET /v1/models` answers, `stream` the very lines of an answer.

    With a `refusal`, status and body, every POST is answered by that. `seen` are (path, headers, body).
    """

    models: str
    stream: list[str] = field(default_factory=list)
    refusal: tuple[int, str] | None = None
    seen: list[tuple[str, dict[str, str], dict[str, Any]]] = field(default_factory=list)
    url: str = ""


def chunk(delta: dict[str, Any] | None = None, **more: Any) -> str:
    """A line of a stream."""
    body = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "m"}
    choices = [] if delta is None else [{"index": 0, "delta": delta, "finish_reason": more.pop("finish_reason", None)}]
    return "data: " + json.dumps(body | {"choices": choices} | more, ensure_ascii=False)


LLAMA_SERVER = Foreign(
    models='{"models":[{"name":"qwen.gguf"}],"object":"list","data":[{"id":"qwen.gguf","object":"model","meta":null}]}',
    stream=[
        chunk({"role": "assistant", "content": None}),
        chunk({"content": "Добър "}),
        chunk({"content": "ден"}),
        chunk({}, finish_reason="stop"),
        chunk(None, usage={"completion_tokens": 7, "prompt_tokens": 3, "total_tokens": 10}, timings={"predicted_n": 7}),
        "data: [DONE]",
    ],
)
VLLM = Foreign(
    models='{"object":"list","data":[{"id":"org/first","root":"org/first","parent":null,"max_model_len":4096},'
    '{"id":"my-lora","parent":"org/first"}]}',
    stream=[
        chunk({"role": "assistant", "content": "", "reasoning_content": None, "tool_calls": []}, usage=None),
        chunk({"content": "Добър "}, usage=None),
        chunk({"content": "ден"}, usage=None, finish_reason="stop", stop_reason=None),
        chunk(None, usage={"prompt_tokens": 3, "total_tokens": 10, "completion_tokens": 7}),
        "data: [DONE]",
    ],
)
# Neither a count of tokens nor a last word, and lines that end as HTTP's own do.
OLLAMA = Foreign(
    models='{"object":"list","data":[{"id":"llama3.2:latest","object":"model","created":1,"owned_by":"library"},'
    '{"id":"qwen3:0.6b","object":"model","created":1,"owned_by":"library"}]}',
    stream=[
        ": a comment\r",
        chunk({"role": "assistant", "content": "Добър "}, system_fingerprint="fp_ollama") + "\r",
        chunk({"role": "assistant", "content": "ден"}) + "\r",
        chunk({"content": ""}, finish_reason="stop") + "\r",
    ],
)


@contextmanager
def running(foreign: Foreign) -> Iterator[Foreign]:
    """The endpoint on a free port."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            foreign.seen.append((self.path, dict(self.headers), {}))
            found = self.path == "/v1/models" and foreign.models
            self._send(200 if found else 404, foreign.models if found else "<html>404</html>")

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            foreign.seen.append((self.path, dict(self.headers), body))
            self._send(*(foreign.refusal or (200, "".join(f"{line}\n\n" for line in foreign.stream))))

        def _send(self, status: int, body: str) -> None:
            self.send_response(status)
            self.end_headers()
            self.wfile.write(body.encode())

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    foreign.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield foreign
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
