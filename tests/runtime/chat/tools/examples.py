"""One question in every dialect: what a model of each would answer, written by hand."""

from __future__ import annotations

from runtime.chat.tools.call import Tool, ToolCall

WEATHER = Tool(
    "get_weather",
    "The weather of a city.",
    {
        "type": "object",
        "properties": {
            "city": {"type": "string"},
            "unit": {"type": "string", "enum": ["C", "F"]},
            "days": {"type": "integer"},
        },
        "required": ["city"],
    },
)
TIME = Tool("get_time", "The time now.", {"type": "object", "properties": {"zone": {"type": "string"}}})
TOOLS = (WEATHER, TIME)
QUESTION = "Какво е времето в София и колко е часът?"
CALLS = (
    ToolCall("call_1", "get_weather", '{"city": "София", "unit": "C", "days": 3}'),
    ToolCall("call_2", "get_time", "{}"),
)
FOUND = [(call.name, call.arguments) for call in CALLS]

ANSWERS = {
    "hermes": (
        '<tool_call>\n{"name": "get_weather", "arguments": {"city": "София", "unit": "C", "days": 3}}\n</tool_call>\n'
        '<tool_call>\n{"name": "get_time", "arguments": {}}\n</tool_call>'
    ),
    "llama-json": (
        '{"name": "get_weather", "parameters": {"city": "София", "unit": "C", "days": 3}}; '
        '{"name": "get_time", "parameters": {}}'
    ),
    "pythonic": '[get_weather(city="София", unit="C", days=3), get_time()]',
    "mistral": (
        '[TOOL_CALLS][{"name": "get_weather", "arguments": {"city": "София", "unit": "C", "days": 3}}, '
        '{"name": "get_time", "arguments": {}}]'
    ),
    "mistral-args": (
        '[TOOL_CALLS]get_weather[ARGS]{"city": "София", "unit": "C", "days": 3}[TOOL_CALLS]get_time[ARGS]{}'
    ),
    "gemma": '[get_weather(city="София", unit="C", days=3), get_time()]',
    "function-gemma": (
        "<start_function_call>call:get_weather{city:<escape>София<escape>,unit:<escape>C<escape>,days:3}"
        "<end_function_call><start_function_call>call:get_time{}<end_function_call>"
    ),
    "tucan": (
        '```tool_call\n{ "name": "get_weather", "arguments": {"city": "София", "unit": "C", "days": 3} }\n```\n'
        '```tool_call\n{ "name": "get_time", "arguments": {} }\n```'
    ),
    "smollm2": (
        '<tool_call>[\n{"name": "get_weather", "arguments": {"city": "София", "unit": "C", "days": 3}},\n'
        '{"name": "get_time", "arguments": {}}\n]</tool_call>'
    ),
    "deepseek": (
        "<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>function<｜tool▁sep｜>get_weather\n```json\n"
        '{"city": "София", "unit": "C", "days": 3}\n```<｜tool▁call▁end｜>\n'
        "<｜tool▁call▁begin｜>function<｜tool▁sep｜>get_time\n```json\n{}\n```<｜tool▁call▁end｜><｜tool▁calls▁end｜>"
    ),
    "json": (
        '[{"name": "get_weather", "arguments": {"city": "София", "unit": "C", "days": 3}}, '
        '{"name": "get_time", "arguments": {}}]'
    ),
}
ANSWERS |= {"tucan-eval": ANSWERS["tucan"], "prompt": ANSWERS["hermes"]}

# Other ways in which models write the same.
VARIANTS = [
    ("hermes", '<tool_call>{"arguments": {"city": "София"}, "name": "get_weather"}</tool_call>'),
    ("hermes", '<tool_call>\n{"name": "get_weather", "arguments": "{\\"city\\": \\"\\u0421офия\\"}"}\n</tool_call>'),
    ("hermes", '<tool_call>\n{"name": "get_weather", "arguments": {"city": "София"}}'),
    ("llama-json", '<|python_tag|>{"type": "function", "name": "get_weather", "parameters": {"city": "София"}}'),
    ("llama-json", '\n{"name": "get_weather", "parameters": {"city": "София"}}'),
    ("pythonic", "<|python_start|>[get_weather(city='София')]<|python_end|>"),
    ("mistral-args", '[TOOL_CALLS]get_weather[CALL_ID]abcDEF123[ARGS]{"city": "София"}'),
    ("mistral", '[TOOL_CALLS] [{"name": "get_weather", "arguments": {"city": "София"}, "id": "abcdefghi"}]'),
    ("gemma", '```tool_code\nget_weather(city="София")\n```'),
    ("gemma", '```python\n[get_weather(city="София")]\n```'),
    ("tucan", '```tool_call\n{"name": "get_weather", "arguments": {"city": "София"}}\n```'),
    ("smollm2", '<tool_call>[{"name": "get_weather", "arguments": {"city": "София"}}]</tool_call>'),
    (
        "deepseek",
        (
            "<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>get_weather<｜tool▁sep｜>"
            '{"city": "София"}<｜tool▁call▁end｜><｜tool▁calls▁end｜>'
        ),
    ),
    ("json", '```json\n{"name": "get_weather", "arguments": {"city": "София"}}\n```'),
]

# What looks like a call and is none.
MALFORMED = [
    ("hermes", '<tool_call>\n{"name": "get_weather", "arguments": {"city": "София"}\n</tool_call>'),
    ("hermes", '<tool_call>{"name": "send_money", "arguments": {}}</tool_call>'),
    ("hermes", '<tool_call>{"name": "get_weather", "arguments": [1]}</tool_call>'),
    ("hermes", '<tool_call>{"name": "get_time", "arguments": {"zone": NaN}}</tool_call>'),
    ("hermes", '<tool_call>{"name": "get_time", "arguments": {"zone": "\\ud800"}}</tool_call>'),
    ("hermes", '<tool_call>{"name": "get_time", "argum'),
    ("hermes", "<tool_call>" + "[" * 5000),
    ("hermes", "2 < 3 and <tool> and <tool_call"),
    ("llama-json", '{"name": "get_weather", "parameters": {"city": "Со'),
    ("llama-json", '{"name": "Ada", "parameters": {}}'),
    ("llama-json", '{"name": "get_time", "parameters": {}} is how I would ask.'),
    ("pythonic", "[get_weather(city=open('/etc/passwd'))]"),
    ("pythonic", "[get_weather('София')]"),
    ("pythonic", '[get_weather(city="София")'),
    ("pythonic", "[1] The source says so."),
    ("mistral", "[TOOL_CALLS][]"),
    ("mistral", '[TOOL_CALLS][{"name": "get_time", "arguments": {}}'),
    ("mistral-args", "[TOOL_CALLS]get_time"),
    ("gemma", "```python\nprint(1)\n```"),
    ("function-gemma", "<start_function_call>call:get_weather{city:<escape>София<end_function_call>"),
    ("function-gemma", "<start_function_call>get_weather{}<end_function_call>"),
    ("tucan", "```tool_call\nget_weather\n```"),
    ("tucan", "```\nkod\n```"),
    ("smollm2", "<tool_call>[]</tool_call>"),
    ("deepseek", "<｜tool▁calls▁begin｜>nothing<｜tool▁calls▁end｜>"),
    ("json", '{"name": "get_time", "arguments": {}} and more'),
]
