"""The servers of a comparison: what starts them, and what they take of the processors."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from benchmarks.programs import Own, demotic, llama_server, named
from benchmarks.servers import Server, Setup, running
from runtime.errors import DemoticError

BUSY = "import time\nwhile time.process_time() < 0.4: pass\n"
FAMILY = f"""
import subprocess, sys
busy = {BUSY!r}
subprocess.run([sys.executable, "-c", busy])
alive = subprocess.Popen([sys.executable, "-c", busy + "print(flush=True)\\ninput()"], stdout=-1, stdin=-1)
alive.stdout.readline()
{BUSY}
print("ready", flush=True)
input()
alive.communicate(b"end")
"""


@pytest.fixture
def setup(tmp_path: Path) -> Setup:
    return Setup(
        programs=named(demotic(), llama_server(tmp_path / "llama-server")),
        model="tiny",
        file=tmp_path / "tiny.gguf",
        threads=2,
        context=512,
        scale=1.0,
        own={
            "demotic": Own(("--keep-alive", "5m"), {"OMP_WAIT_POLICY": "passive", "NAME": "two words"}),
            "llama-server": Own(("--cache-ram", "0"), {}),
        },
    )


def test_the_shown_command_has_the_sides_own_arguments_and_environment_and_no_folder(setup: Setup) -> None:
    assert setup.shown("demotic") == (
        "OMP_WAIT_POLICY=passive NAME='two words' python -m demotic serve tiny.gguf --host 127.0.0.1 --port 0 "
        "--context 512 --keep-alive 5m"
    )
    assert setup.shown("llama-server").startswith("llama-server --model tiny.gguf --alias tiny ")
    assert setup.shown("llama-server").endswith("--parallel 8 --ctx-size 4096 --cache-ram 0")


def test_llama_server_gets_its_own_arguments_and_environment(setup: Setup) -> None:
    program = Path(setup.programs["llama-server"].words[0])
    program.write_text('#!/bin/sh\necho "$OMP_NUM_THREADS $NAME $*"\nexit 1\n', encoding="utf-8")
    program.chmod(0o755)
    own = {**setup.own, "llama-server": Own(("--cache-ram", "0"), {"OMP_NUM_THREADS": "7"})}
    with (
        pytest.raises(DemoticError, match=r"start: 7  --model .* --cache-ram 0$"),
        running(replace(setup, own=own), "llama-server"),
    ):
        pass


def test_demotic_gets_its_own_arguments_and_environment(setup: Setup) -> None:
    own = {**setup.own, "demotic": Own(("--no-such-option",), {"PYTHONPROFILEIMPORTTIME": "1"})}
    with pytest.raises(DemoticError) as caught, running(replace(setup, own=own), "demotic"):
        pass
    assert "--no-such-option" in str(caught.value)
    assert "import time:" in str(caught.value)


def test_the_processor_time_of_a_server_is_its_own_and_that_of_its_children_alive_and_ended() -> None:
    with tempfile.TemporaryFile() as log:
        family = subprocess.Popen([sys.executable, "-c", FAMILY], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert family.stdout is not None
        assert family.stdout.readline() == b"ready\n"
        taken = Server("", psutil.Process(family.pid), log).cpu_seconds()
        family.communicate(b"end\n")
    # Three processes of 0.4 s each, the last of which counts its start too.
    assert 1.15 <= taken < 2
