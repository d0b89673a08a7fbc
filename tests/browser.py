"""A headless Chromium that tests can use as a person does: open a page, type, click, look.

It is spoken to in the DevTools protocol over two pipes (`--remote-debugging-pipe`): JSON, each message ended by a zero
byte; Chromium reads from file descriptor 3 and writes to 4.
"""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
_QUIET = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"),
    *("--disable-background-networking", "--disable-component-update"),
)
_SECONDS = 30.0
# Becomes another program, with two descriptors as its 3 and 4.
_AS_3_AND_4 = """
import os, sys
for fd, source in zip((3, 4), [os.dup(int(number)) for number in sys.argv[1:3]]):
    os.dup2(source, fd)
    os.set_inheritable(fd, True)
os.execv(sys.argv[3], sys.argv[3:])
"""


class Browser:
    """One page of a running Chromium."""

    def __init__(self, commands: IO[bytes], events: IO[bytes]) -> None:
        self._commands = commands
        self._events = events
        self._num_sent = 0
        self._session: str | None = None
        target = self._send("Target.createTarget", url="about:blank")["targetId"]
        self._session = self._send("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]

    def open(self, url: str) -> None:
        """Go to `url`."""
        self._send("Page.navigate", url=url)

    def run(self, script: str) -> Any:
        """The value of a JavaScript expression in the page."""
        return self._send("Runtime.evaluate", expression=script, returnByValue=True)["result"].get("value")

    def wait_for(self, text: str, script: str = "document.body ? document.body.innerText : ''") -> str:
        """What `script` gives, the text of the page by default, once `text` is in it."""
        deadline = time.monotonic() + _SECONDS
        while text not in (shown := str(self.run(script))):
            assert time.monotonic() < deadline, f"'{text}' does not come: {shown}"
            time.sleep(0.05)
        return shown

    def screenshot(self, path: Path) -> None:
        """Write a picture of the page."""
        path.write_bytes(base64.b64decode(self._send("Page.captureScreenshot")["data"]))

    def _send(self, method: str, **params: Any) -> dict[str, Any]:
        self._num_sent += 1
        message = {"id": self._num_sent, "method": method, "params": params}
        self._commands.write(json.dumps(message | ({"sessionId": self._session} if self._session else {})).encode())
        self._commands.write(b"\0")
        self._commands.flush()
        while True:
            event = json.loads(self._read())
            if event.get("id") == self._num_sent:
                assert "error" not in event, event
                return dict(event["result"])

    def _read(self) -> bytes:
        data = bytearray()
        while (byte := self._events.read(1)) != b"\0":
            assert byte, "Chromium has ended"
            data += byte
        return bytes(data)


@contextmanager
def browser(profile: Path) -> Iterator[Browser]:
    """A Chromium of its own, with its files in `profile`, until the block is left."""
    assert CHROMIUM is not None
    (theirs, commands), (events, answers) = os.pipe(), os.pipe()
    process = subprocess.Popen(
        [
            *(sys.executable, "-c", _AS_3_AND_4, str(theirs), str(answers)),
            *(CHROMIUM, *_QUIET, "--remote-debugging-pipe", f"--user-data-dir={profile}"),
        ],
        pass_fds=(theirs, answers),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    os.close(theirs)
    os.close(answers)
    with os.fdopen(commands, "wb") as writing, os.fdopen(events, "rb") as reading:
        try:
            yield Browser(writing, reading)
        finally:
            process.kill()
            process.wait(20)
