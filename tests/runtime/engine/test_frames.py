"""Frames arrive whole, however the pipe cuts them, and one over the bound is refused before it is read."""

from __future__ import annotations

import os
import struct
import threading

import pytest

from runtime.engine import frames
from runtime.engine.frames import MAX_FRAME_BYTES, FrameParser, FrameTooLarge, read_frames, write_frame


def test_frames_come_out_as_they_were_written_until_the_pipe_is_closed() -> None:
    reading, writing = os.pipe()
    contents = [b"", b"a", "Добър ден".encode(), os.urandom(300_000), b"z"]

    def write() -> None:
        for content in contents:
            write_frame(writing, content)
        os.close(writing)

    thread = threading.Thread(target=write)
    thread.start()
    try:
        assert list(read_frames(reading)) == contents
    finally:
        thread.join()
        os.close(reading)


@pytest.mark.parametrize("size", [1, 2, 3, 5, 7, 1000])
def test_frames_are_put_together_from_pieces_of_any_size(size: int) -> None:
    data = b"".join(struct.pack(">I", len(content)) + content for content in (b"one", b"", b"three"))
    parser = FrameParser()
    pieces = [data[at : at + size] for at in range(0, len(data), size)]
    assert [frame for piece in pieces for frame in parser.feed(piece)] == [b"one", b"", b"three"]


def test_a_length_over_the_bound_is_refused_before_its_content_comes() -> None:
    parser = FrameParser()
    with pytest.raises(FrameTooLarge, match=str(MAX_FRAME_BYTES)):
        list(parser.feed(struct.pack(">I", MAX_FRAME_BYTES + 1)))


def test_what_is_no_frame_is_most_likely_over_the_bound() -> None:
    with pytest.raises(FrameTooLarge):
        list(FrameParser().feed(b"llama.cpp says hello\n"))


def test_a_frame_over_the_bound_is_not_written(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(frames, "MAX_FRAME_BYTES", 10)
    reading, writing = os.pipe()
    try:
        with pytest.raises(FrameTooLarge):
            write_frame(writing, b"x" * 11)
        write_frame(writing, b"x" * 10)
        assert os.read(reading, 100) == struct.pack(">I", 10) + b"x" * 10
    finally:
        os.close(reading)
        os.close(writing)
