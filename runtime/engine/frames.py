"""Messages on a pipe: four bytes of length, the highest first, and that many bytes of content."""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator

# A prompt has at most 4 Mi characters, or fewer bytes than that in token ids (`ChatTemplateConfig`, `ServerConfig`);
# four bytes a character, and as much again to spare.
MAX_FRAME_BYTES = 32 * 1024 * 1024

_LENGTH = struct.Struct(">I")
_READ_BYTES = 64 * 1024


class FrameTooLarge(ValueError):
    """A frame is over the bound, or what was read is no frame at all."""


def to_frame(content: bytes) -> bytes:
    """One frame.

    Raises:
        FrameTooLarge: it is over the bound.
    """
    return _LENGTH.pack(check_size(len(content))) + content


def write_all(fd: int, data: bytes | bytearray) -> None:
    """Write all of `data`, waiting where the pipe is full.

    Raises:
        OSError: nobody reads any more.
    """
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(fd, rest) :]


def write_frame(fd: int, content: bytes) -> None:
    """Write `content` as one frame.

    Raises:
        FrameTooLarge: it is over the bound; nothing was written.
        OSError: nobody reads any more.
    """
    write_all(fd, to_frame(content))


def read_frames(fd: int) -> Iterator[bytes]:
    """Every frame up to the end of the pipe, waiting for each.

    Raises:
        FrameTooLarge: see `FrameParser.feed`.
    """
    parser = FrameParser()
    while data := os.read(fd, _READ_BYTES):
        yield from parser.feed(data)


class FrameParser:
    """Puts frames together from whatever pieces a pipe gives."""

    def __init__(self) -> None:
        self._data = bytearray()

    def feed(self, data: bytes) -> Iterator[bytes]:
        """The frames that `data` completes.

        Raises:
            FrameTooLarge: a frame says that it is over the bound; it is not waited for.
        """
        self._data += data
        while len(self._data) >= _LENGTH.size:
            end = _LENGTH.size + check_size(_LENGTH.unpack_from(self._data)[0])
            if len(self._data) < end:
                return
            frame = bytes(self._data[_LENGTH.size : end])
            del self._data[:end]
            yield frame


def check_size(size: int) -> int:
    """`size`, in bytes, where a frame may have it.

    Raises:
        FrameTooLarge: it is over the bound.
    """
    if size > MAX_FRAME_BYTES:
        raise FrameTooLarge(f"a frame of {size} bytes is over the bound of {MAX_FRAME_BYTES}")
    return size
