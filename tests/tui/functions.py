"""Tools of the tests: a file as a person would write one."""

from __future__ import annotations

import asyncio

import demotic


@demotic.tool(read_only=True)
def weather(city: str) -> str:
    """Weather of a city."""
    return f"18 °C, {city}"


@demotic.tool
def send(text: str, to: list[str] | None = None) -> str:
    """Send a text."""
    return f"изпратено: {text}"


@demotic.tool
def fail() -> str:
    """Fails."""
    raise ValueError("няма връзка\x1b[2J")


@demotic.tool
async def wait() -> str:
    """Takes for ever."""
    await asyncio.sleep(600)
    return "never"


@demotic.tool(read_only=True)
def flood() -> str:
    """Many lines."""
    return "\n".join(f"line {number}" for number in range(1, 41))


@demotic.tool(read_only=True)
def double(number: int) -> int:
    """Twice a number."""
    return 2 * number
