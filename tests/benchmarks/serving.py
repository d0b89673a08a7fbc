"""What the fake endpoints of these tests have in common: JSON in and out, and a server in a thread."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class JsonHandler(BaseHTTPRequestHandler):
    """Reads and sends JSON, logs nothing, and does not mind a client that has gone."""

    def got(self) -> None:
        """A GET has come."""

    def posted(self, body: dict[str, Any]) -> None:
        """A POST has come."""

    def do_GET(self) -> None:
        self.got()

    def do_POST(self) -> None:
        self.posted(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))

    def send(self, status: int, body: dict[str, Any]) -> None:
        """Answer with `body`."""
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def handle(self) -> None:
        with suppress(BrokenPipeError, ConnectionResetError):  # the client has gone
            super().handle()

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def serving(server: ThreadingHTTPServer) -> Iterator[str]:
    """The address of `server`, which answers until the block is left."""
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
