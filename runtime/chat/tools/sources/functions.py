"""Python functions as tools: their type hints are the schema of the arguments, their docstring is the description."""

from __future__ import annotations

import asyncio
import importlib.util
import inspect
import json
import threading
import typing
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, TypeVar, get_args, get_origin, overload

import msgspec

from runtime.chat.tools.call import Tool
from runtime.chat.tools.sources.base import OfferedTool, ToolFault
from runtime.errors import ConfigurationInvalid, DemoticError

_MARK = "__demotic_tool__"
_FunctionT = TypeVar("_FunctionT", bound=Callable[..., Any])


@overload
def tool(function: _FunctionT) -> _FunctionT: ...
@overload
def tool(*, read_only: bool = False) -> Callable[[_FunctionT], _FunctionT]: ...
def tool(
    function: _FunctionT | None = None, *, read_only: bool = False
) -> _FunctionT | Callable[[_FunctionT], _FunctionT]:
    """Mark a function as a tool that models may call; `read_only` says that it changes nothing.

    Every parameter needs a type hint. `Annotated[str, "what it is for"]` describes it to the model.
    """

    def mark(marked: _FunctionT) -> _FunctionT:
        setattr(marked, _MARK, read_only)
        return marked

    return mark if function is None else mark(function)


class FunctionTools:
    """`runtime.chat.tools.sources.base.Source` over Python functions."""

    def __init__(self, functions: Iterable[Callable[..., Any]], name: str = "functions") -> None:
        """The tools are named as the functions are.

        Raises:
            ConfigurationInvalid: a function's hints say too little to call it by, or two have one name.
        """
        self.name = name
        self._functions: dict[str, _Function] = {}
        for function in functions:
            made = _Function(function)
            if made.tool.name in self._functions:
                raise ConfigurationInvalid(f"There are two functions named '{made.tool.name}' in {name}.")
            self._functions[made.tool.name] = made

    @classmethod
    def from_file(cls, path: Path, name: str) -> FunctionTools:
        """The functions that a Python file marks with `tool`. The file is run.

        Raises:
            ConfigurationInvalid: it cannot be run, or marks none.
        """
        spec = importlib.util.spec_from_file_location(f"demotic_tools_{name}", path)
        if spec is None or spec.loader is None:
            raise ConfigurationInvalid(f"{path} is no Python file.")
        module = importlib.util.module_from_spec(spec)
        try:
            spec.loader.exec_module(module)
        except Exception as fault:
            raise ConfigurationInvalid(f"{path} cannot be run: {type(fault).__name__}: {fault}.") from fault
        marked = [value for value in vars(module).values() if inspect.isfunction(value) and hasattr(value, _MARK)]
        if not marked:
            raise ConfigurationInvalid(f"{path} marks no function as a tool.", remedy="Put @demotic.tool above one.")
        return cls(marked, name)

    @property
    def tools(self) -> Sequence[OfferedTool]:
        """See `Source.tools`."""
        return [OfferedTool(made.tool, made.is_read_only) for made in self._functions.values()]

    async def call(self, name: str, arguments: Mapping[str, Any]) -> str:
        """See `Source.call`. A function that is not `async` runs in a thread, which a cancelled call leaves behind."""
        return await self._functions[name].call(arguments)

    async def close(self) -> None:
        """See `Source.close`. There is nothing to end."""


class _Function:
    def __init__(self, function: Callable[..., Any]) -> None:
        self._function = function
        name = function.__name__
        self._arguments = _arguments_of(function, name)
        description = (inspect.getdoc(function) or "").partition("\n\n")[0]
        self.tool = Tool(name, " ".join(description.split()), _schema_of(self._arguments, name))
        self.is_read_only = bool(getattr(function, _MARK, False))

    async def call(self, arguments: Mapping[str, Any]) -> str:
        try:
            given = msgspec.convert(dict(arguments), self._arguments)
        except msgspec.ValidationError as fault:
            raise ToolFault(f"the arguments do not fit: {fault}") from None
        by_name = {name: getattr(given, name) for name in self._arguments.__struct_fields__}
        try:
            if inspect.iscoroutinefunction(self._function):
                result = await self._function(**by_name)
            else:
                result = await in_thread(lambda: self._function(**by_name))
            return result if isinstance(result, str) else json.dumps(msgspec.to_builtins(result), ensure_ascii=False)
        except ToolFault:
            raise
        except DemoticError as fault:
            raise ToolFault(str(fault)) from fault
        except Exception as fault:  # a function can fail in as many ways as Python can
            raise ToolFault(f"{type(fault).__name__}: {fault}".rstrip(": ")) from fault


def _arguments_of(function: Callable[..., Any], name: str) -> type[msgspec.Struct]:
    """What holds and checks the arguments of a function."""
    try:
        hints = typing.get_type_hints(function, include_extras=True)
    except Exception as fault:
        raise ConfigurationInvalid(f"The type hints of '{name}' cannot be read: {fault}.") from fault
    fields: list[tuple[str, Any] | tuple[str, Any, Any]] = []
    for parameter in inspect.signature(function).parameters.values():
        if parameter.kind not in {parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY}:
            raise ConfigurationInvalid(f"'{name}' is no tool: '{parameter.name}' cannot be given by name.")
        if parameter.name not in hints:
            raise ConfigurationInvalid(f"'{name}' is no tool: '{parameter.name}' has no type hint.")
        hint = _described(hints[parameter.name])
        is_needed = parameter.default is parameter.empty
        fields.append((parameter.name, hint) if is_needed else (parameter.name, hint, parameter.default))
    return msgspec.defstruct(name, fields, kw_only=True, forbid_unknown_fields=True)


def _described(hint: Any) -> Any:
    """A hint whose text in `Annotated` is a description for msgspec."""
    if get_origin(hint) is not Annotated:
        return hint
    kind, *notes = get_args(hint)
    told = [msgspec.Meta(description=note) if isinstance(note, str) else note for note in notes]
    return Annotated[(kind, *told)]


def _schema_of(arguments: type[msgspec.Struct], name: str) -> dict[str, Any]:
    try:
        schema = msgspec.json.schema(arguments)
    except TypeError as fault:
        raise ConfigurationInvalid(f"'{name}' is no tool: {fault}.") from fault
    others = schema["$defs"]
    own: dict[str, Any] = others.pop(schema["$ref"].rpartition("/")[2])
    own.pop("title", None)
    return own | ({"$defs": others} if others else {})


async def in_thread(work: Callable[[], Any]) -> Any:
    """What `work` returns, in a thread that the program's end does not wait for, unlike those of `asyncio`."""
    loop = asyncio.get_running_loop()
    done: asyncio.Future[Any] = loop.create_future()

    def settle(result: Any, fault: Exception | None) -> None:
        if not done.done():
            done.set_result(result) if fault is None else done.set_exception(fault)

    def run() -> None:
        try:
            outcome: tuple[Any, Exception | None] = (work(), None)
        except Exception as fault:  # noqa: BLE001  # raised where it is waited for
            outcome = (None, fault)
        if not loop.is_closed():
            loop.call_soon_threadsafe(settle, *outcome)

    threading.Thread(target=run, daemon=True).start()
    return await done
