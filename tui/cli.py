"""The command that opens the terminal chat: chat; those of what it remembers are in `tui/history_cli.py`.

Only its signature and help text live here, so that `demotic --help` imports nothing heavy; the body is in
`tui/chat.py`.
"""

from __future__ import annotations

from typing import Annotated

import typer

from runtime.tool_options import Approve, Tools, ToolsFile, wants_tools
from tui import history_cli
from tui.lab import cli as lab_cli
from tui.server_options import AdapterDir, ApiKey, Insecure, refuse_with_url

# The backslashes keep rich from reading the brackets as markup.
_MODEL_HELP = (
    r"A path to a GGUF, a catalogue name, or hf:org/repo\[@revision]\[:file-or-quantization]. "
    "Without it, the default model."
)


def register(app: typer.Typer) -> None:
    """Add the command to the front door's `app`."""
    app.command("chat", help=_CHAT_HELP)(_chat)
    lab_cli.register(app)
    history_cli.register(app)


_CHAT_HELP = """Talk with a model in the terminal.

Without a terminal it answers once on standard output: MESSAGE or, where none is given, what is piped in.

Examples:

  demotic chat

  demotic chat smollm2-135m-instruct "What is the capital of France? Answer in one sentence."

  demotic chat --continue

  demotic chat --interface-language ar

  demotic chat --url http://127.0.0.1:8080 "Dime algo del mar, por favor."

  demotic chat qwen3-0.6b --tools-file ./tools.toml --approve time_get_current_time

  demotic chat qwen3-0.6b --adapter-dir ./adapters

  demotic chat --plain < questions.txt

  echo "Kio estas la ĉefurbo de Francio?" | demotic chat gemma-3-270m
"""


def _chat(
    model: Annotated[str | None, typer.Argument(metavar="MODEL", help=_MODEL_HELP)] = None,
    message: Annotated[
        str | None, typer.Argument(metavar="MESSAGE", help="Said first; alone, it needs more than one word.")
    ] = None,
    url: Annotated[
        str | None,
        typer.Option(
            metavar="URL",
            help="Join a server that runs already, of any make that speaks OpenAI's API, and start none. "
            "MODEL is then one of its names; without it, its first.",
        ),
    ] = None,
    api_key: ApiKey = None,
    insecure: Insecure = False,
    plain: Annotated[
        bool,
        typer.Option(
            "--plain",
            help="Line by line, without a screen: for pipes, dumb terminals (TERM=dumb chooses it) and screen readers.",
        ),
    ] = False,
    continues: Annotated[
        bool,
        typer.Option(
            "--continue",
            "-c",
            help="Go on with the last conversation. Without it, only if that was left in the midst of something.",
        ),
    ] = False,
    no_history: Annotated[bool, typer.Option("--no-history", help="Remember nothing of this chat.")] = False,
    lab: Annotated[
        bool,
        typer.Option(
            "--lab",
            help="Open the language lab: one prompt to two to four columns. `demotic lab` needs no screen.",
        ),
    ] = False,
    adapter_dir: AdapterDir = None,
    tools: Tools = False,
    tools_file: ToolsFile = None,
    approve: Approve = None,
    interface_language: Annotated[
        str | None,
        typer.Option(
            metavar="CODE",
            help="Show the chat's own texts in this language: en, nl, es, fr, bg, ar, hi, zh, ja or sw. "
            "Without it, the configured one, else that of the locale.",
            envvar="DEMOTIC_INTERFACE_LANGUAGE",
        ),
    ] = None,
    bidi: Annotated[
        str | None,
        typer.Option(
            metavar="SETTING",
            help="Put right-to-left text in order: on, off (the terminal does it), or auto (the terminal is asked). "
            "Without it, the configured one, else auto.",
            envvar="DEMOTIC_BIDI",
        ),
    ] = None,
) -> None:
    from runtime.errors import InvalidRequest
    from tui.chat import chat
    from tui.screen import Screen

    if lab and plain:
        raise InvalidRequest("--lab needs a screen.", remedy="Use `demotic lab`, which needs none.")
    if continues and no_history:
        raise InvalidRequest(
            "--continue goes on with what --no-history does not read.", remedy="Leave one of them out."
        )
    refuse_with_url(adapter_dir, url)
    join = None
    if url is not None:
        from tui.joining import joined

        join = joined(url, api_key=api_key or "", insecure=insecure)
    settings = None
    if wants_tools(tools, tools_file, says_more=bool(approve)):
        from runtime.chat.tools.settings import ToolSettings

        settings = ToolSettings.read(tools_file).approving(tuple(approve or ()))
    screen = Screen.chosen(language=interface_language, bidi=bidi)
    status = chat(
        *(model, message, settings, screen, join),
        plain=plain,
        is_kept=not no_history,
        resume="last" if continues else "left",
        lab=lab,
        adapter_dir=adapter_dir,
    )
    raise typer.Exit(status)
