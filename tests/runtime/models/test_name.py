from pathlib import Path

import pytest

from runtime.errors import InvalidRequest, ModelNotFound
from runtime.models.name import CatalogName, HubFile, LocalFile, is_safe_file, nearest_names, parse_reference

NAMES = ["smollm2-135m-instruct", "gemma-3-270m", "qwen3-0.6b", "tower-plus-2b"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("qwen3-0.6b", CatalogName("qwen3-0.6b")),
        ("Qwen3-0.6B", CatalogName("qwen3-0.6b")),
        ("  gemma-3-270m ", CatalogName("gemma-3-270m")),
        ("./gemma-3-270m", LocalFile(Path("gemma-3-270m"))),
        ("models/x.gguf", LocalFile(Path("models/x.gguf"))),
        ("X.GGUF", LocalFile(Path("X.GGUF"))),
        ("моделът.gguf", LocalFile(Path("моделът.gguf"))),
        ("hf:Qwen/Qwen3-0.6B-GGUF", HubFile("Qwen/Qwen3-0.6B-GGUF")),
        ("HF:Qwen/Qwen3-0.6B-GGUF", HubFile("Qwen/Qwen3-0.6B-GGUF")),
        ("hf:a/b@v1.0", HubFile("a/b", revision="v1.0")),
        ("hf:a/b@refs/pr/1", HubFile("a/b", revision="refs/pr/1")),
        ("hf:a/b:Q8_0", HubFile("a/b", quantization="Q8_0")),
        ("hf:a/b:sub/x.gguf", HubFile("a/b", file="sub/x.gguf")),
        ("hf:a/b@main:x y.gguf", HubFile("a/b", revision="main", file="x y.gguf")),
    ],
)
def test_a_reference_is_read(text: str, expected: object) -> None:
    assert parse_reference(text, NAMES) == expected


@pytest.mark.parametrize(
    "text",
    [
        "hf:",
        "hf:gpt2",
        "hf:a/b/c",
        "hf:../b",
        "hf:a/..",
        "hf:a--x/b",
        "hf:/etc/passwd",
        "hf:a/b@",
        "hf:a/b@../../x",
        "hf:a/b@/x",
        "hf:a/b:",
        "hf:a/b:../x.gguf",
        "hf:a/b:sub/../../x.gguf",
        "hf:a/b:/x.gguf",
        "hf:a/b:c:\\x.gguf",
        "hf:a/b:sub\\x.gguf",
        "hf:a/b:./x.gguf",
        "hf:a/b:../Q8_0",
        "hf:a/b:" + "x" * 600 + ".gguf",
    ],
)
def test_a_hub_reference_that_is_malformed_or_leads_outside_is_refused(text: str) -> None:
    with pytest.raises(InvalidRequest, match=r"does not name a model on the hub\. Write hf:org/repo"):
        parse_reference(text, NAMES)


@pytest.mark.parametrize("text", ["", "   ", "qwen\x1b[2J", "hf:a/b\x00", "two\nlines", "x" * 5000])
def test_text_that_can_be_no_name_is_not_found_and_not_echoed_raw(text: str) -> None:
    with pytest.raises(ModelNotFound) as caught:
        parse_reference(text, NAMES)
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 200


@pytest.mark.parametrize(
    ("text", "nearest"),
    [("qwen3-06b", "qwen3-0.6b"), ("QWEN3", "qwen3-0.6b"), ("gema-3-270m", "gemma-3-270m"), ("tow", "tower-plus-2b")],
)
def test_an_unknown_name_offers_the_nearest_ones(text: str, nearest: str) -> None:
    with pytest.raises(ModelNotFound, match="Did you mean") as caught:
        parse_reference(text, NAMES)
    assert caught.value.nearest[0] == nearest


def test_a_name_like_no_other_offers_the_list() -> None:
    with pytest.raises(ModelNotFound, match=r"There is no model named 'zzz'\. See `demotic list`\.") as caught:
        parse_reference("zzz", NAMES)
    assert caught.value.nearest == ()


def test_at_most_three_names_are_offered() -> None:
    assert len(nearest_names("model-0", [f"model-{number}" for number in range(9)])) == 3


def test_an_existing_file_needs_no_suffix(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine").touch()
    assert parse_reference("mine", NAMES) == LocalFile(Path("mine"))


def test_a_known_name_wins_over_a_file_of_that_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "gemma-3-270m").touch()
    assert parse_reference("gemma-3-270m", NAMES) == CatalogName("gemma-3-270m")


def test_a_sentence_with_a_slash_is_no_path() -> None:
    with pytest.raises(ModelNotFound):
        parse_reference("What is 1/2 of ten?", NAMES)


def test_the_home_folder_is_understood() -> None:
    assert parse_reference("~/x.gguf", NAMES) == LocalFile(Path.home() / "x.gguf")


def test_a_hub_reference_prints_as_it_was_typed() -> None:
    for text in ("hf:a/b", "hf:a/b@v1", "hf:a/b:Q8_0", "hf:a/b@v1:x.gguf"):
        assert str(parse_reference(text, NAMES)) == text


@pytest.mark.parametrize("name", ["", "/x", "a//b", "..", "a/../b", "C:x", "a\\b", "a\nb", "x" * 300])
def test_names_that_leave_their_folder_are_unsafe(name: str) -> None:
    assert not is_safe_file(name)
