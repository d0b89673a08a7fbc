"""The runtime's commands: run, serve, mcp and doctor are here, those for models in `models_cli.py`.

Only signatures and help texts live here, so that `demotic --help` imports nothing heavy; the bodies are in
`runtime/commands/`.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated, Literal

import typer

import runtime.models_cli
from runtime.cli_options import MODEL_HELP, Context, Json
from runtime.config import PoolConfig, RunConfig, ServerConfig
from runtime.tool_options import Approve, Tools, ToolsFile, wants_tools

_RUN = RunConfig()
_SERVER = ServerConfig()
_POOL = PoolConfig()


def register(app: typer.Typer) -> None:
    """Add the commands to the front door's `app`."""
    app.command("run", help=_RUN_HELP)(_run)
    app.command("serve", help=_SERVE_HELP)(_serve)
    app.command("mcp", help=_MCP_HELP)(_mcp)
    runtime.models_cli.register(app)
    app.command("doctor", help=_DOCTOR_HELP)(_doctor)


_RUN_HELP = """Answer one prompt, or continue a text with a base model, on standard output.

What is piped in is the prompt, or is put after it. Figures go to standard error.

Examples:

  demotic run "Wat is de hoofdstad van Frankrijk?"

  demotic run gemma-3-270m "Érase una vez"

  cat letter.txt | demotic run smollm2-135m-instruct "Summarise this letter:"

  demotic run qwen3-0.6b "What time is it in Sofia?" --tools

  demotic run qwen3-0.6b "What time is it in Sofia?" --tools-file ./tools.toml --approve time_get_current_time

  demotic run gemma-3-270m "Столицата на България е" --language auto --lock hard
"""


def _run(
    call: typer.Context,
    model: Annotated[
        str | None, typer.Argument(metavar="MODEL", help=f"{MODEL_HELP} Without it, the default model.")
    ] = None,
    prompt: Annotated[
        str | None, typer.Argument(metavar="PROMPT", help="The question, or the text's beginning.")
    ] = None,
    system: Annotated[str | None, typer.Option(help="System message of a chat model.")] = None,
    max_tokens: Annotated[int, typer.Option(min=1, help="Longest answer, in tokens.")] = _RUN.max_tokens,
    temperature: Annotated[float, typer.Option(help="0 always takes the likeliest token.")] = _RUN.temperature,
    top_k: Annotated[int, typer.Option(help="Choose among the k likeliest tokens; 0: all.")] = 0,
    top_p: Annotated[float, typer.Option(help="Choose among the likeliest tokens of this joint share.")] = _RUN.top_p,
    min_p: Annotated[float, typer.Option(help="Leave out tokens below this share of the likeliest.")] = 0.0,
    repetition_penalty: Annotated[float, typer.Option(help="Above 1 makes tokens seen before less likely.")] = 1.0,
    seed: Annotated[int | None, typer.Option(help="The same seed gives the same answer.")] = None,
    stop: Annotated[list[str] | None, typer.Option(help="End the answer before this text; may be repeated.")] = None,
    max_characters: Annotated[
        int | None, typer.Option(min=1, help="Longest answer, in characters; it ends on a whole one.")
    ] = None,
    language: Annotated[
        str | None,
        typer.Option(help="Keep the answer in the script of this language (bg, bul_Cyrl, Bulgarian); auto: yours."),
    ] = None,
    scripts: Annotated[
        list[str] | None, typer.Option("--script", help="Keep it in this script (Cyrl) instead; may be repeated.")
    ] = None,
    mode: Annotated[
        Literal["soft", "hard"] | None,
        typer.Option("--lock", help="soft, the default: other scripts become unlikely; hard: impossible."),
    ] = None,
    adapter: Annotated[
        Path | None, typer.Option(metavar="FILE", help="A LoRA adapter (GGUF) of the model to answer with.")
    ] = None,
    tools: Tools = False,
    tools_file: ToolsFile = None,
    tool_choice: Annotated[
        str,
        typer.Option(
            metavar="CHOICE",
            help="Whether the model may call tools (auto), must first (required, or a tool's name), or may not (none).",
        ),
    ] = "auto",
    approve: Approve = None,
    context: Context = None,
    as_json: Json = False,
) -> None:
    from runtime.commands.run import run, said

    given = {
        "max_tokens": max_tokens,
        "temperature": temperature,
        "top_k": top_k,
        "top_p": top_p,
        "min_p": min_p,
        "repetition_penalty": repetition_penalty,
        "stop": tuple(stop or ()),
        "seed": seed,
        "max_characters": max_characters,
        "language": language,
        "scripts": tuple(scripts or ()),
        "mode": mode,
    }
    wish = None
    if wants_tools(tools, tools_file, says_more=bool(approve) or tool_choice != "auto"):
        from runtime.commands.run_tools import ToolWish

        wish = ToolWish(tools_file, tool_choice, tuple(approve or ()))
    raise typer.Exit(
        run(
            model,
            prompt,
            system=system,
            adapter=adapter,
            context=context,
            as_json=as_json,
            options=said(call, given),
            tools=wish,
        )
    )


_SERVE_HELP = """Serve models at a local endpoint that speaks OpenAI's API.

Point any OpenAI client at the address it prints; the key can be anything unless --api-key is given.

Examples:

  demotic serve smollm2-135m-instruct

  demotic serve qwen3-0.6b gemma-3-270m --port 9000

  demotic serve --host 0.0.0.0 --api-key-file ./keys.txt

  demotic serve qwen3-0.6b gemma-3-270m --max-models 1 --keep-alive 600

  demotic serve qwen3-0.6b --adapter legal=./legal-bg.gguf --adapter-dir ./adapters

  demotic serve gemma-3-270m gemma-bul gemma-deu

  demotic serve qwen3-0.6b --tools-file ./tools.toml
"""


def _serve(
    models: Annotated[
        list[str] | None, typer.Argument(metavar="MODEL...", help=f"{MODEL_HELP} Without any, the default model.")
    ] = None,
    host: Annotated[str, typer.Option(help="Address to listen on; the default is this machine only.")] = _SERVER.host,
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port to listen on; 0: any free one.")] = _SERVER.port,
    api_key: Annotated[
        list[str] | None,
        typer.Option(help="Answer only requests with this key; may be repeated.", envvar="DEMOTIC_API_KEY"),
    ] = None,
    api_key_file: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Keys, one a line; blank lines and lines that begin with # are skipped."),
    ] = None,
    insecure: Annotated[
        bool, typer.Option("--insecure", help="Without a key, listen also where other machines reach it.")
    ] = False,
    cors_origin: Annotated[
        list[str] | None,
        typer.Option(
            metavar="ORIGIN",
            help="Let web pages of this origin use it (http://localhost:3000, or with a key *); may be repeated.",
        ),
    ] = None,
    access_log: Annotated[
        str | None,
        typer.Option(metavar="FILE", help="Write one JSON line a request, without prompts; -: to standard error."),
    ] = None,
    log_prompts: Annotated[
        bool, typer.Option("--log-prompts", help="Write the bodies of requests into the access log as well.")
    ] = False,
    max_requests_per_client: Annotated[
        int | None,
        typer.Option(min=1, help="Most requests that one key, or without keys one address, may have in flight."),
    ] = _SERVER.max_requests_per_client,
    max_tokens_per_request: Annotated[
        int | None,
        # A completion that names no length asks for 16.
        typer.Option(min=16, help="Longest answer a request may ask for, in tokens, and gets if it asks for none."),
    ] = None,
    adapter: Annotated[
        list[str] | None,
        typer.Option(
            metavar=r"\[MODEL:]NAME=FILE",
            help="A LoRA adapter (GGUF) of a model, by default of the first; requests name it as MODEL:NAME.",
        ),
    ] = None,
    adapter_dir: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Requests may name any NAME.gguf in this folder as MODEL:NAME."),
    ] = None,
    tool_dialect: Annotated[
        list[str] | None,
        typer.Option(
            metavar=r"\[MODEL=]DIALECT",
            help="How a model, by default the first, writes calls of tools, where that is not found out rightly.",
        ),
    ] = None,
    prefix_cache_dir: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Save beginnings of requests in this folder, so that they outlive a restart."),
    ] = None,
    routes: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="A TOML table of models by language, for requests whose model is auto or MODEL:auto."
        ),
    ] = None,
    context: Context = None,
    keep_alive: Annotated[
        float | None,
        typer.Option(
            min=0, metavar="SECONDS", help="Unload a model that had no request for so long; without it, never."
        ),
    ] = _POOL.keep_alive,
    max_models: Annotated[
        int | None,
        typer.Option(min=1, help="Most models loaded at a time; without it, as many as fit in the memory."),
    ] = _POOL.max_models,
    no_store: Annotated[
        bool, typer.Option("--no-store", help="Keep no responses: none can be read back or followed up.")
    ] = False,
    tools: Annotated[
        bool,
        typer.Option(
            "--tools",
            help="For requests that ask for it, run the approved tools of tools.toml in the configuration folder.",
        ),
    ] = False,
    tools_file: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="For requests that ask for it, run the approved tools of this file."),
    ] = None,
) -> None:
    from runtime.chat.tools.settings import ToolSettings
    from runtime.commands.serve import serve

    pool = PoolConfig(keep_alive=keep_alive, max_models=max_models)
    serve(
        models or [],
        config=replace(
            _SERVER,
            host=host,
            port=port,
            cors_origins=tuple(cors_origin or ()),
            max_requests_per_client=max_requests_per_client,
            max_stored_bytes=0 if no_store else _SERVER.max_stored_bytes,
        ),
        api_keys=api_key or [],
        api_key_file=api_key_file,
        insecure=insecure,
        access_log=access_log,
        log_prompts=log_prompts,
        adapters=adapter or [],
        adapter_dir=adapter_dir,
        tool_dialects=tool_dialect or [],
        prefix_cache_dir=prefix_cache_dir,
        context=context,
        max_answer=max_tokens_per_request,
        routes=routes,
        pool_config=pool,
        tools=ToolSettings.read(tools_file) if tools or tools_file is not None else None,
    )


_MCP_HELP = """Serve models to other agents as MCP tools: generate, translate, embed, detect_language.

It speaks over standard input and output, as agents start it, or with --port over HTTP, on this machine only. Models are
loaded when they are first used.

Examples:

  demotic mcp qwen3-0.6b

  demotic mcp qwen3-0.6b --embedding-model qwen3-embedding-0.6b

  demotic mcp --port 8178
"""


def _mcp(
    model: Annotated[
        str | None, typer.Argument(metavar="MODEL", help=f"{MODEL_HELP} Without it, the default model.")
    ] = None,
    embedding_model: Annotated[
        str | None, typer.Option(metavar="MODEL", help="The model of the tool embed; without it there is no such tool.")
    ] = None,
    port: Annotated[
        int | None, typer.Option(min=0, max=65535, help="Speak over HTTP at this port; 0: any free one.")
    ] = None,
    context: Context = None,
) -> None:
    from runtime.commands.mcp import serve_mcp

    serve_mcp(model, embedding_model, port=port, context=context)


_DOCTOR_HELP = """Show what this machine has, what a model would use of it, and what to mend.

Examples:

  demotic doctor

  demotic doctor ./my-model.gguf --json
"""


def _doctor(
    model: Annotated[str | None, typer.Argument(metavar="MODEL", help="Plan for this model.")] = None,
    as_json: Json = False,
) -> None:
    from runtime.commands.doctor import doctor
    from runtime.models.store import Store

    doctor(Store().resolve(model).path if model else None, as_json=as_json)
