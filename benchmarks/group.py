"""A group of commands that is a command too, as `bench` and `eval` are."""

from __future__ import annotations

from typing import Any

from typer.core import TyperArgument, TyperGroup

_IS_COMMAND = "benchmarks.is_command"


class ModelsOrCommand(TyperGroup):
    """A group that is a command too: its words are models, unless the first one names a command of the group."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Read `args` as the group's own, or leave all of them to the command that the first one names."""
        is_command = bool(args) and args[0] in self.commands
        ctx.meta[_IS_COMMAND] = is_command
        ctx.allow_interspersed_args = not is_command
        return super().parse_args(ctx, args)

    def get_params(self, ctx: Any) -> list[Any]:
        """The parameters, without the models where a command's name would be taken for one."""
        params = super().get_params(ctx)
        if ctx.meta.get(_IS_COMMAND):
            return [param for param in params if not isinstance(param, TyperArgument)]
        return params
