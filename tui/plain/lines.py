"""Lines of standard input, each read when it is asked for."""

from __future__ import annotations

import asyncio
import os
import threading

_BLOCK = 65536


class Lines:
    """Reads `descriptor` in a thread of its own, which does not hold up the end of the program.

    Not through `sys.stdin`: a thread that waits in there has its lock, and Python then cannot end in order.
    """

    def __init__(self, descriptor: int = 0) -> None:
        self._descriptor = descriptor
        self._rest = b""
        self._has_ended = False
        self._reading: asyncio.Future[bytes] | None = None

    async def read(self) -> bytes | None:
        """The next line without its end, or None where no more come. What a cancelled caller waited for is kept."""
        while b"\n" not in self._rest and not self._has_ended:
            if self._reading is None:
                self._reading = self._start()
            block = await asyncio.shield(self._reading)
            self._reading = None
            self._rest += block
            self._has_ended = not block
            if not block and not self._rest:
                return None
        if not self._rest:
            return None
        line, _end, self._rest = self._rest.partition(b"\n")
        return line.removesuffix(b"\r")

    def _start(self) -> asyncio.Future[bytes]:
        loop = asyncio.get_running_loop()
        read: asyncio.Future[bytes] = loop.create_future()

        def put(block: bytes) -> None:
            if not read.done():
                read.set_result(block)

        def work() -> None:
            try:
                block = os.read(self._descriptor, _BLOCK)
            except OSError:  # the terminal is gone
                block = b""
            # The program may have ended meanwhile.
            if not loop.is_closed():
                loop.call_soon_threadsafe(put, block)

        threading.Thread(target=work, daemon=True).start()
        return read
