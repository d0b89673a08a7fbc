"""Python functions as tools: what is told of them, and what becomes of a call."""

from __future__ import annotations

import asyncio
import enum
import json
import time
from datetime import date
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest

import demotic
from runtime.chat.tools.call import ToolCall
from runtime.chat.tools.sources.base import ToolFault
from runtime.chat.tools.sources.functions import FunctionTools, tool
from runtime.chat.tools.toolbox import Toolbox
from runtime.config import ToolRunConfig
from runtime.errors import ConfigurationInvalid


class Unit(enum.Enum):
    CELSIUS = "C"
    FAHRENHEIT = "F"


@tool(read_only=True)
def weather(
    city: Annotated[str, "Name of the city."],
    day: date,
    unit: Unit = Unit.CELSIUS,
    *,
    parts: list[Literal["wind", "rain"]] | None = None,
) -> dict[str, Any]:
    """Weather of a city
    on a day.

    Nobody is told this.
    """
    return {"in": city, "weekday": day.isoweekday(), "unit": unit, "parts": parts}


async def call(function: Any, limits: ToolRunConfig | None = None, **arguments: Any) -> str:
    toolbox = Toolbox([FunctionTools([function])], limits)
    return await toolbox.run(ToolCall("c", function.__name__, json.dumps(arguments)))


def test_hints_and_docstring_are_what_a_model_is_told() -> None:
    (offered,) = FunctionTools([weather]).tools
    assert offered.is_read_only
    assert (offered.tool.name, offered.tool.description) == ("weather", "Weather of a city on a day.")
    schema = offered.tool.parameters
    assert schema["properties"]["city"] == {"type": "string", "description": "Name of the city."}
    assert schema["properties"]["day"] == {"type": "string", "format": "date"}
    assert schema["required"] == ["city", "day"]
    assert schema["additionalProperties"] is False
    assert schema["$defs"]["Unit"]["enum"] == ["C", "F"]


async def test_arguments_come_as_the_hints_say_and_the_result_is_json() -> None:
    told = await call(weather, city="София", day="2026-11-27", unit="F", parts=["rain"])
    assert told == '{"in": "София", "weekday": 5, "unit": "F", "parts": ["rain"]}'
    assert json.loads(await call(weather, city="София", day="2026-11-27"))["unit"] == "C"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"city": "София"}, "day"),
        ({"city": 3, "day": "2026-11-27"}, "city"),
        ({"city": "София", "day": "утре"}, "day"),
        ({"city": "София", "day": "2026-11-27", "hour": 3}, "hour"),
    ],
)
async def test_arguments_that_do_not_fit_are_named_and_the_function_is_not_called(
    arguments: dict[str, Any], words: str
) -> None:
    with pytest.raises(ToolFault, match=rf"do not fit.*{words}"):
        await call(weather, **arguments)


async def test_a_function_that_raises_and_one_that_hangs_are_faults() -> None:
    def divide(by: int) -> float:
        return 1 / by

    def hang() -> str:
        time.sleep(30)
        return "done"

    async def hang_asynchronously() -> str:
        await asyncio.sleep(30)
        return "done"

    with pytest.raises(ToolFault, match="ZeroDivisionError: division by zero"):
        await call(divide, by=0)
    for function in (hang, hang_asynchronously):
        with pytest.raises(ToolFault, match=r"longer than 0\.2 s"):
            await call(function, ToolRunConfig(call_seconds=0.2))


async def test_there_is_no_tool_of_another_name() -> None:
    with pytest.raises(ToolFault, match="no tool named 'time'"):
        await Toolbox([FunctionTools([weather])]).run(ToolCall("c", "time", "{}"))


def test_functions_that_cannot_be_called_by_name_are_refused() -> None:
    def untyped(city) -> str:  # type: ignore[no-untyped-def]  # on purpose
        return str(city)

    def starred(*cities: str) -> str:
        return "".join(cities)

    def strange(city: Path) -> str:
        return str(city)

    for function in (untyped, starred, strange):
        with pytest.raises(ConfigurationInvalid, match=f"'{function.__name__}' is no tool"):
            FunctionTools([function])


def test_two_tools_of_one_name_are_refused_by_name() -> None:
    with pytest.raises(ConfigurationInvalid, match="two functions named 'weather'"):
        FunctionTools([weather, weather])
    with pytest.raises(ConfigurationInvalid, match="Two tools are named 'weather': of here and there"):
        Toolbox([FunctionTools([weather], "here"), FunctionTools([weather], "there")])


async def test_a_file_s_marked_functions_are_tools(tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text(
        "import demotic\n\n@demotic.tool\ndef double(number: int) -> int:\n    'Twice.'\n    return 2 * number\n\n"
        "def helper(number: int) -> int:\n    return number\n"
    )
    source = FunctionTools.from_file(file, "mine")
    assert [offered.tool.name for offered in source.tools] == ["double"]
    assert await source.call("double", {"number": 21}) == "42"
    assert demotic.tool is tool


@pytest.mark.parametrize(
    ("text", "words"), [("x = 1", "marks no function"), ("1 / 0", "ZeroDivisionError"), (")", "SyntaxError")]
)
def test_a_file_that_gives_no_tools_is_named(tmp_path: Path, text: str, words: str) -> None:
    file = tmp_path / "mine.py"
    file.write_text(text)
    with pytest.raises(ConfigurationInvalid, match=words):
        FunctionTools.from_file(file, "mine")
