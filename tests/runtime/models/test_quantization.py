import pytest

from runtime.errors import InvalidRequest, ModelNotFound
from runtime.models.name import HubFile
from runtime.models.quantization import choose_file, quantization_of

ALL = [
    "README.md",
    "m-F16.gguf",
    "m-Q4_0.gguf",
    "m-Q4_K_M.gguf",
    "m-Q5_K_M.gguf",
    "m-Q8_0.gguf",
    "mmproj-m-Q8_0.gguf",
    "imatrix-m-Q4_K_M.gguf",
]


@pytest.mark.parametrize(
    ("file", "quantization"),
    [
        ("Qwen3-0.6B-Q8_0.gguf", "Q8_0"),
        ("SmolLM2-135M-Instruct.Q4_1.gguf", "Q4_1"),
        ("gemma-3-270m-q4_k_m.gguf", "Q4_K_M"),
        ("x.Q4_K.gguf", "Q4_K"),
        ("x-UD-Q4_K_XL.gguf", "Q4_K_XL"),
        ("x-Q4_0_4_8.gguf", "Q4_0_4_8"),
        ("x-IQ3_XXS.gguf", "IQ3_XXS"),
        ("x-bf16.gguf", "BF16"),
        ("x.fp16.gguf", "F16"),
        ("Q8_0/model-00001-of-00002.gguf", None),
        ("model.gguf", None),
    ],
)
def test_the_quantization_is_read_from_the_file_name(file: str, quantization: str | None) -> None:
    assert quantization_of(file) == quantization


@pytest.mark.parametrize(
    ("missing", "chosen"),
    [
        ((), "m-Q4_K_M.gguf"),
        (("Q4_K_M",), "m-Q8_0.gguf"),
        (("Q4_K_M", "Q8_0"), "m-Q5_K_M.gguf"),
        (("Q4_K_M", "Q8_0", "Q5_K_M"), "m-Q4_0.gguf"),
        (("Q4_K_M", "Q8_0", "Q5_K_M", "Q4_0"), "m-F16.gguf"),
    ],
)
def test_without_a_wish_the_usual_quantizations_are_tried_in_order(missing: tuple[str, ...], chosen: str) -> None:
    files = [file for file in ALL if quantization_of(file) not in missing]
    assert choose_file(HubFile("a/b"), files) == chosen


@pytest.mark.parametrize(
    ("wanted", "chosen"),
    [
        (HubFile("a/b", quantization="q8_0"), "m-Q8_0.gguf"),
        (HubFile("a/b", quantization="FP16"), "m-F16.gguf"),
        (HubFile("a/b", file="m-Q4_0.gguf"), "m-Q4_0.gguf"),
    ],
)
def test_a_wish_is_met_exactly(wanted: HubFile, chosen: str) -> None:
    assert choose_file(wanted, ALL) == chosen


def test_a_single_file_needs_no_known_quantization() -> None:
    assert choose_file(HubFile("a/b"), ["README.md", "odd.gguf", "mmproj-odd.gguf"]) == "odd.gguf"


def test_several_files_that_fit_are_listed_and_refused() -> None:
    with pytest.raises(InvalidRequest, match=r"hf:a/b fits 2 files\. Name one of them: one\.gguf, two\.gguf\."):
        choose_file(HubFile("a/b"), ["one.gguf", "two.gguf"])


@pytest.mark.parametrize("wanted", [HubFile("a/b", quantization="Q2_K"), HubFile("a/b", file="m-Q2_K.gguf")])
def test_a_file_that_is_not_there_lists_those_that_are(wanted: HubFile) -> None:
    with pytest.raises(ModelNotFound, match=r"a/b holds m-F16\.gguf, m-Q4_0\.gguf"):
        choose_file(wanted, ALL)


def test_a_repository_without_gguf_says_so() -> None:
    with pytest.raises(ModelNotFound, match="a/b holds no GGUF file"):
        choose_file(HubFile("a/b"), ["model.safetensors", "mmproj-F16.gguf"])


def test_a_projector_is_not_taken_even_by_name() -> None:
    with pytest.raises(ModelNotFound):
        choose_file(HubFile("a/b", file="mmproj-m-Q8_0.gguf"), ALL)


@pytest.mark.parametrize(
    "wanted",
    [HubFile("a/b"), HubFile("a/b", quantization="Q8_0"), HubFile("a/b", file="m-Q8_0-00001-of-00002.gguf")],
)
def test_a_split_model_is_refused(wanted: HubFile) -> None:
    parts = ["m-Q8_0-00001-of-00002.gguf", "m-Q8_0-00002-of-00002.gguf"]
    with pytest.raises(InvalidRequest, match="split into files"):
        choose_file(wanted, parts)


def test_a_whole_file_is_taken_where_another_quantization_is_split() -> None:
    files = ["m-Q4_K_M-00001-of-00002.gguf", "m-Q4_K_M-00002-of-00002.gguf", "m-Q4_0.gguf"]
    assert choose_file(HubFile("a/b"), files) == "m-Q4_0.gguf"


def test_a_long_listing_is_cut() -> None:
    with pytest.raises(InvalidRequest, match="and 28 more"):
        choose_file(HubFile("a/b"), [f"model-{number}.gguf" for number in range(40)])
