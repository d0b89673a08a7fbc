"""The characters that stand for bytes in vocabularies of GPT-2's kind (`bytes_to_unicode` in its encoder.py)."""

from __future__ import annotations


def _byte_of() -> dict[str, int]:
    shown = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in shown]
    return {chr(byte): byte for byte in shown} | {chr(256 + index): byte for index, byte in enumerate(others)}


BYTE_OF = _byte_of()


def bytes_of(token: str) -> bytes:
    """The bytes of a token; one that is not written in these characters, as added tokens are not, stands for itself."""
    return bytes(BYTE_OF[character] for character in token) if set(token) <= BYTE_OF.keys() else token.encode()
