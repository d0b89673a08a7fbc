"""Run a Jinja template written by a stranger: no reach outside, and an end in time, in steps and in size.

Jinja's immutable sandbox keeps a template from attributes of Python's own and from changing what it is given. It
bounds neither time nor memory, so three things are added: every loop turn and every macro call is counted and looks at
the clock; only the filters and string methods that chat templates use are there; and whatever makes text longer
checks the result's length before it is made.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from jinja2 import TemplateError, Undefined, nodes
from jinja2.exceptions import SecurityError
from jinja2.ext import Extension
from jinja2.parser import Parser
from jinja2.sandbox import ImmutableSandboxedEnvironment

from runtime.config import ChatTemplateConfig

_FILTERS = frozenset(
    "abs capitalize count d default dictsort e escape first float groupby int items join last length list lower map "
    "max min reject rejectattr replace reverse round safe select selectattr sort string sum title tojson trim "
    "truncate unique upper".split()
)
_STRING_METHODS = frozenset(
    "capitalize count endswith find index isalnum isalpha isascii isdecimal isdigit islower isnumeric isspace istitle "
    "isupper join lower lstrip partition removeprefix removesuffix replace rfind rindex rpartition rsplit rstrip split "
    "splitlines startswith strip swapcase title upper".split()
)
_MAX_STEPS = 1_000_000
_MAX_INTEGER = 2**64


class TemplateLimit(TemplateError):
    """The template ran too long, or made too much text."""


class _GenerationTag(Extension):
    """`{% generation %}`: marks the assistant's words for training; here its body is text like any other."""

    tags = {"generation"}  # noqa: RUF012  # jinja2 declares it so

    def parse(self, parser: Parser) -> list[nodes.Node]:
        next(parser.stream)
        return parser.parse_statements(("name:endgeneration",), drop_needle=True)


class BoundedEnvironment(ImmutableSandboxedEnvironment):
    """Compiles and renders one template at a time; make one a render."""

    intercepted_binops = frozenset("+*%") | {"**"}

    def __init__(self, config: ChatTemplateConfig) -> None:
        super().__init__(trim_blocks=True, lstrip_blocks=True, extensions=["jinja2.ext.loopcontrols", _GenerationTag])
        self._config = config
        self._steps_left = _MAX_STEPS
        self._deadline = time.thread_time() + config.max_seconds
        self.filters = {name: function for name, function in self.filters.items() if name in _FILTERS}
        self.filters |= {"tojson": _to_json, "replace": self._replace, "join": self._join}
        self.globals = {name: self.globals[name] for name in ("range", "dict", "namespace")}

    def render(self, source: str, variables: Mapping[str, Any]) -> str:
        """Text of the template `source` with `variables`.

        Raises:
            jinja2.TemplateError: the template is wrong, raised an error itself, or went over a bound.
        """
        if len(source) > self._config.max_source_chars:
            raise TemplateLimit(f"it is longer than {self._config.max_source_chars} characters")
        tree = self.parse(source)
        blocks: list[nodes.For | nodes.Macro | nodes.CallBlock] = [
            *tree.find_all(nodes.For),
            *tree.find_all(nodes.Macro),
            *tree.find_all(nodes.CallBlock),
        ]
        for block in blocks:
            block.body.insert(0, nodes.ExprStmt(_call_own("_tick")))
        for joined in list(tree.find_all(nodes.Concat)):
            joined.nodes = [_call_own("_concat", *joined.nodes)]
        template = self.template_class.from_code(self, self.compile(tree), self.globals)
        pieces, size = [], 0
        for piece in template.generate(variables):
            size += len(piece)
            self._check_size(size)
            pieces.append(piece)
        return "".join(pieces)

    def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
        """Bound the operators that can make much out of little."""
        match operator:
            case "**":
                raise SecurityError("the operator ** is not available to chat templates")
            case "*" if _is_number(left) and _is_number(right):
                if abs(left) > _MAX_INTEGER or abs(right) > _MAX_INTEGER:
                    raise TemplateLimit("it computes with very large numbers")
            case "*":
                sized, times = (left, right) if _is_number(right) else (right, left)
                self._check_size(len(sized) * max(int(times), 0))
            case "+" if not _is_number(left) and not _is_number(right):
                self._check_size(len(left) + len(right))
            case "%" if isinstance(left, str):
                raise SecurityError("formatting with % is not available to chat templates")
        return super().call_binop(context, operator, left, right)

    def wrap_str_format(self, value: Any) -> Callable[..., str] | None:
        """Refuse `str.format`, whose field widths make gigabytes out of nothing."""
        if super().wrap_str_format(value) is not None:
            raise SecurityError("str.format is not available to chat templates")
        return None

    def is_safe_attribute(self, obj: Any, attr: str, value: Any) -> bool:
        """Let only harmless methods of strings through."""
        if isinstance(obj, str) and attr not in _STRING_METHODS:
            return False
        return super().is_safe_attribute(obj, attr, value)

    def call(self, context: Any, function: Any, /, *args: Any, **kwargs: Any) -> Any:
        """Bound the methods of strings that can make much out of little."""
        owner = getattr(function, "__self__", None)
        if isinstance(owner, str):
            # Within a loop Jinja hands its variables on to whatever is called.
            own = {name: value for name, value in kwargs.items() if name not in {"_loop_vars", "_block_vars"}}
            match function.__name__:
                case "replace":
                    return self._replace(owner, *args, **own)
                case "join":
                    return self._join(args[0], owner)
        return super().call(context, function, *args, **kwargs)

    def _tick(self) -> str:
        self._steps_left -= 1
        if self._steps_left < 0 or time.thread_time() > self._deadline:
            raise TemplateLimit("it runs too long")
        return ""

    def _concat(self, *parts: Any) -> str:
        texts = [str(part) for part in parts]
        self._check_size(sum(map(len, texts)))
        return "".join(texts)

    def _replace(self, value: object, old: str, new: str, count: int | None = None) -> str:
        text = str(value)
        times = text.count(old) if count is None or count < 0 else min(text.count(old), count)
        self._check_size(len(text) + times * max(len(new) - len(old), 0))
        return text.replace(old, new, times)

    def _join(self, values: Iterable[Any], separator: str = "", attribute: str | None = None) -> str:
        texts = [str(value if attribute is None else self.getitem(value, attribute)) for value in values]
        self._check_size(sum(map(len, texts)) + len(separator) * len(texts))
        return separator.join(texts)

    def _check_size(self, size: int) -> None:
        if size > self._config.max_output_chars:
            raise TemplateLimit(f"it makes more than {self._config.max_output_chars} characters")


def _call_own(name: str, *args: nodes.Expr) -> nodes.Call:
    return nodes.Call(nodes.EnvironmentAttribute(name), list(args), [], None, None)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float)


def _to_json(value: Any, indent: int | None = None, **_options: Any) -> str:
    """JSON in the characters of every script: no escapes, and no HTML escaping, which Jinja's own filter adds."""
    if isinstance(value, Undefined):
        value = None
    return json.dumps(value, ensure_ascii=False, indent=indent if indent is None else min(indent, 8))
