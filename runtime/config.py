"""Every default in the program, once: frozen dataclasses, and the user's configuration file over them.

The command line reads its defaults from here. The file is TOML, `config.toml` in `config_dir()`; an unknown key in it
fails by name.
"""

from __future__ import annotations

import os
import tomllib
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Literal

from runtime.errors import ConfigurationInvalid

APP_NAME = "demotic"


@dataclass(frozen=True)
class SamplingDefaults:
    """What a request gets where it says nothing. Units and ranges: `runtime/engine/sampling.py`."""

    temperature: float = 1.0
    top_k: int = 0
    top_p: float = 1.0
    min_p: float = 0.0
    repetition_penalty: float = 1.0
    frequency_penalty: float = 0.0
    presence_penalty: float = 0.0


@dataclass(frozen=True)
class EngineConfig:
    """Upper bounds of one model's engine, in tokens and requests; `hardware/plan.py` fits them to the machine.

    max_draft: most tokens that are guessed ahead (`engine/speculation.py`); 0 is off. max_answer: most tokens that a
    request may ask for; None is up to the end of the context.
    """

    max_context: int = 8192
    batch_size: int = 512
    max_sequences: int = 16
    max_waiting: int = 64
    max_draft: int = 31
    max_answer: int | None = None


@dataclass(frozen=True)
class LockConfig:
    """Answers kept in the scripts of a language (`language/lock.py`).

    mode: where a request names none. soft_bias: taken from the logits of foreign tokens, in nats: 6 makes them 400
    times less likely. least_free_share: a grammar that leaves so much of the vocabulary is within free text. max_masks:
    sets of scripts whose masks are kept; one takes 2 MB where the vocabulary has 262,144 tokens.
    """

    mode: Literal["soft", "hard"] = "soft"
    soft_bias: float = 6.0
    least_free_share: float = 0.1
    max_masks: int = 8


@dataclass(frozen=True)
class WorkerConfig:
    """Patience with the process of a model, in seconds; past it the process is ended and counts as died.

    load_stall_seconds: loading without any progress. silence_seconds: no sign of life, which comes every second: the
    process is stopped, or the machine out of memory. step_seconds: one step of the engine, which on a slow machine with
    a large model may take a minute. close_seconds: ending by itself when told to.
    """

    load_stall_seconds: float = 60.0
    silence_seconds: float = 20.0
    step_seconds: float = 300.0
    close_seconds: float = 5.0


@dataclass(frozen=True)
class PrefixConfig:
    """Prefixes on disk (`engine/prefix_store.py`), where they are asked for.

    max_bytes: of the folder, all models together. max_queued_bytes: copied, and not written yet; what would pass it is
    not saved. read_seconds: the longest time that reading holds the engine up for one request; what is left of the
    prefix is computed. close_seconds: writing at the end; less than `WorkerConfig.close_seconds`.
    """

    max_bytes: int = 4 * 1024**3
    max_queued_bytes: int = 256 * 1024**2
    read_seconds: float = 2.0
    close_seconds: float = 3.0


@dataclass(frozen=True)
class PoolConfig:
    """The models of a server. Times in seconds; None is without a limit.

    keep_alive: how long a model stays loaded without a request. max_models: most that are loaded at a time.
    room_seconds: how long a request waits for another model to fall idle and make room. restart_delays: before the
    first, second, ... restart of a process that died, the last one for all that follow. stable_seconds: a process that
    lived so long counts as the first again.
    """

    keep_alive: float | None = None
    max_models: int | None = None
    room_seconds: float = 30.0
    restart_delays: tuple[float, ...] = (0.0, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0)
    stable_seconds: float = 60.0


@dataclass(frozen=True)
class RunConfig:
    """`demotic run`: an answer of readable length, a little less adventurous than the API's default."""

    max_tokens: int = 512
    temperature: float = 0.7
    top_p: float = 0.95


@dataclass(frozen=True)
class ServerConfig:
    """The HTTP endpoint. Loopback unless the user says otherwise.

    cors_origins: origins of web pages that may read answers; "*" is all. is_open: whoever reaches it may use it, under
    whatever name. max_requests_per_client: most that one key, or one address where there are no keys, may have in
    flight; None is without a limit.
    max_stored_bytes: most that is kept of answers that can be read back and followed up (`api/stored.py`); 0 is none.
    """

    host: str = "127.0.0.1"
    port: int = 8177
    cors_origins: tuple[str, ...] = ()
    is_open: bool = False
    max_requests_per_client: int | None = None
    max_body_bytes: int = 8 * 1024 * 1024
    shutdown_seconds: float = 10.0
    max_stored_bytes: int = 64 * 1024 * 1024


@dataclass(frozen=True)
class ChoiceLimits:
    """What one request to the endpoint may ask for: `max_n` answers to a prompt, and `max_choices` to all its prompts.

    The latter is as many as may wait (`EngineConfig.max_waiting`), so that an idle model takes the largest request.
    """

    max_n: int = 16
    max_choices: int = 64


@dataclass(frozen=True)
class ToolLimits:
    """What one request may say of tools: how many, how long all together, and how many calls an answer may have."""

    max_tools: int = 128
    max_chars: int = 128 * 1024
    max_calls: int = 16


@dataclass(frozen=True)
class ChatTemplateConfig:
    """Bounds on a model's own chat template, which is a program written by a stranger."""

    max_source_chars: int = 256 * 1024
    max_output_chars: int = 4 * 1024 * 1024
    max_seconds: float = 2.0  # of processor time


@dataclass(frozen=True)
class ToolRunConfig:
    """What running tools may take; a file of tools may say otherwise (`chat/tools/settings.py`).

    max_rounds: how often a model may call tools before it must answer without. call_seconds: one call.
    max_result_chars: what a model is told of a result; the rest is left out. max_message_bytes: one message of an MCP
    server. start_seconds: a server's start, up to the list of its tools.
    """

    max_rounds: int = 8
    call_seconds: float = 30.0
    max_result_chars: int = 8000
    max_message_bytes: int = 4 * 1024 * 1024
    start_seconds: float = 30.0


@dataclass(frozen=True)
class HistoryConfig:
    """The conversations that the terminal chat remembers (`tui/history/`).

    keep_deleted_days: how long one that was deleted can be brought back. wait_seconds: for another chat that is writing
    to the file. short_wait_seconds: the same for a piece of an answer and for a draft, which go in with the next one.
    max_title_graphemes: of a title made from what was said first. max_import_bytes: of a file that is imported,
    unpacked; in memory it takes a few times as much. max_import_nodes: messages of one conversation in it.
    """

    keep_deleted_days: float = 30.0
    wait_seconds: float = 10.0
    short_wait_seconds: float = 0.05
    max_title_graphemes: int = 60
    max_import_bytes: int = 512 * 1024**2
    max_import_nodes: int = 100_000


@dataclass(frozen=True)
class UserConfig:
    """The configuration file's settings.

    interface_language: of the chat's own texts, without one that of the locale. bidi: whether the chat puts
    right-to-left text in order (`on`), leaves it to the terminal (`off`), or asks the terminal (`auto`). theme: how the
    chat looks, one of `tui/themes.py`.
    """

    default_model: str | None = None
    interface_language: str | None = None
    bidi: str = "auto"
    theme: str = "dark"


def config_dir() -> Path:
    """Folder of the configuration file; the environment variable DEMOTIC_CONFIG_DIR moves it."""
    override = os.environ.get("DEMOTIC_CONFIG_DIR")
    if override:
        return Path(override)
    import platformdirs

    return platformdirs.user_config_path(APP_NAME)


def cache_dir() -> Path:
    """Folder of models and other things that can be fetched again; DEMOTIC_CACHE_DIR moves it."""
    override = os.environ.get("DEMOTIC_CACHE_DIR")
    if override:
        return Path(override)
    import platformdirs

    return platformdirs.user_cache_path(APP_NAME)


def data_dir() -> Path:
    """Folder of what cannot be fetched again, such as conversations; DEMOTIC_DATA_DIR moves it."""
    override = os.environ.get("DEMOTIC_DATA_DIR")
    if override:
        return Path(override)
    import platformdirs

    return platformdirs.user_data_path(APP_NAME)


def load_user_config() -> UserConfig:
    """Read the configuration file; a missing file gives the defaults.

    Raises:
        ConfigurationInvalid: the file is not TOML, or has an unknown key or a value of the wrong type.
    """
    path = config_dir() / "config.toml"
    try:
        values: dict[str, Any] = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return UserConfig()
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as fault:
        raise ConfigurationInvalid(f"{path} cannot be read: {fault}.") from fault
    known = [field.name for field in fields(UserConfig)]
    for key, value in values.items():
        if key not in known:
            raise ConfigurationInvalid(f"{path} has an unknown key '{key}'.", remedy=f"Known keys: {', '.join(known)}.")
        if not isinstance(value, str):
            raise ConfigurationInvalid(f"'{key}' in {path} must be a string.")
    return UserConfig(**values)
