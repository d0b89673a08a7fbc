"""Llama 3.2 and 4: a list of calls as Python has them, `[weather(city="Sofia")]`.

https://www.llama.com/docs/model-cards-and-prompt-formats/llama3_2/, "Zero-shot function calling".
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from runtime.chat.tools.call import Tool, ToolCall
from runtime.chat.tools.dialects.base import Dialect, ReadCall
from runtime.chat.tools.dialects.keywords import is_free, properties_of, sequence
from runtime.chat.tools.dialects.reading import read_python
from runtime.chat.tools.dialects.writing import bounded, function_of, json_rule, literal, row, to_json

_CONSTANTS = '"True" | "False"'
MARKS = ("<|python_start|>", "<|python_end|>")


class Pythonic(Dialect):
    """See the module."""

    name = "pythonic"
    is_first = True
    marks: ClassVar[tuple[str, ...]] = MARKS

    def starts(self, tools: Sequence[Tool]) -> tuple[str, ...]:
        """See `Dialect.starts`."""
        return (MARKS[0], *(f"[{tool.name}(" for tool in tools))

    def parse(self, section: str) -> list[ReadCall]:
        """See `Dialect.parse`."""
        return read_python(section.strip().removeprefix(MARKS[0]).removesuffix(MARKS[1]))

    def grammar(self, tools: Sequence[Tool], max_calls: int) -> str:
        """See `Dialect.grammar`."""
        return f'section: mark_0? "[" {row(", ", max_calls)} "]" mark_1?\n{python_rules(tools, self.name)}'

    def write(self, calls: Sequence[ToolCall]) -> str:
        """See `Dialect.write`."""
        return f"[{', '.join(map(call_python, calls))}]" if calls else ""

    def words(self, tools: Sequence[Tool]) -> str | None:
        """See `Dialect.words`."""
        return (
            "You are an expert in composing functions. You are given a question and a set of possible functions. "
            "Based on the question, you will need to make one or more function/tool calls to achieve the purpose. "
            "If none of the functions can be used, point it out. If the given question lacks the parameters required "
            "by the function, also point it out. You should only return the function call in tools call sections.\n\n"
            "If you decide to invoke any of the function(s), you MUST put it in the format of "
            "[func_name1(params_name1=params_value1, params_name2=params_value2...), func_name2(params)]\n"
            "You SHOULD NOT include any other text in the response.\n\n"
            "Here is a list of functions in JSON format that you can invoke.\n\n"
            f"{to_json([function_of(tool) for tool in tools], indent=4)}"
        )


def call_python(call: ToolCall) -> str:
    """A call as Python has it, with values in JSON's form but for the constants."""
    arguments = json.loads(call.arguments)
    return f"{call.name}({', '.join(f'{key}={_python(value)}' for key, value in arguments.items())})"


def python_rules(tools: Sequence[Tool], dialect: str) -> str:
    """The rule `call`: one of `tools` as Python calls it.

    Raises:
        InvalidRequest: a schema asks for what cannot be enforced.
    """
    rules = [f"call: {' | '.join(f'call_{index}' for index in range(len(tools)))}"]
    if any(map(is_free, tools)):
        rules += [f"free: (pair ({literal(', ')} pair)*)?", 'pair: KEY "=" any', "KEY: /[A-Za-z_][A-Za-z0-9_]*/"]
        rules += [f'any: json | {_CONSTANTS} | "None"', json_rule("json", {})]
    for index, tool in enumerate(tools):
        if is_free(tool):
            rules.append(f'call_{index}: {literal(f"{tool.name}(")} free ")"')
            continue
        properties, required = properties_of(tool, dialect)
        names = {key: f"pair_{index}_{at}" for at, key in enumerate(properties)}
        rules.append(f'call_{index}: {literal(f"{tool.name}(")} {sequence(names, required, ", ")} ")"')
        for key, pair in names.items():
            value = pair.replace("pair", "value")
            rules += [f"{pair}: {literal(f'{key}=')} {value}", _value_rule(value, properties[key])]
    return "\n".join(rules)


def _value_rule(name: str, schema: Mapping[str, Any]) -> str:
    """The rule `name`: a value in JSON that matches `schema`, or a truth in Python's words."""
    if schema.get("type") == "boolean" and schema.keys().isdisjoint(("enum", "const")):
        return f"{name}: {_CONSTANTS}"
    return json_rule(name, bounded(schema))


def _python(value: object) -> str:
    return repr(value) if value is None or isinstance(value, bool) else to_json(value)
