"""`demotic bench compare` and `demotic bench submit-card`, over results made by hand."""

from __future__ import annotations

import copy
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from benchmarks.report import plain
from benchmarks.speed.card import card_of, submit_card
from benchmarks.speed.compare import bootstrap, compare
from benchmarks.speed.compare_command import run_compare
from benchmarks.speed.figures import Figure, Gaps
from runtime.errors import InvalidRequest

NAMES = ("A.json", "B.json")


def job(rates: Sequence[float], *, output: int = 64, batch: int = 1) -> dict[str, Any]:
    return {
        "kind": "generation",
        "batch": batch,
        "prompt_tokens": 64,
        "output_tokens": output,
        "counted_prompt_tokens": plain(Figure.of([63] * len(rates))),
        "tokens_per_second": plain(Figure.of(rates)),
        "characters_per_second": plain(Figure.of([3 * rate for rate in rates])),
        "characters_per_token": plain(Figure.of([3] * len(rates))),
        "ttft_seconds": plain(Figure.of([8 / rate for rate in rates])),
        "itl_seconds": plain(Gaps.of([[1 / rate, 1 / rate] for rate in rates])),
        "shares": {"computing": 1.0},
        "joules_per_token": {},
    }


def result(*rates: float, model: str = "m", sha256: str = "ab" * 32, threads: int = 2, **more: Any) -> dict[str, Any]:
    way = {
        "name": model,
        "model": model,
        "quantization": "Q4_K_M",
        "sha256": sha256,
        "file_bytes": 5,
        "settings": {"device": "cpu", "kv_type": "f16", "threads": threads, "context": 512},
        "load_seconds": plain(Figure.of([0.5, 0.5, 0.5])),
        "memory_before_bytes": plain(Figure.of([1.0])),
        "memory_peak_bytes": plain(Figure.of([2e8, 2e8, 2e8])),
        "card_memory_peak_bytes": plain(Figure.of([0.0])),
        "jobs": [job(rates, **more)],
    }
    return {
        "benchmark": "speed",
        "measured": "So.",
        "plan": {"repetitions": len(rates), "warm_up": 1},
        "is_interrupted": False,
        "warnings": [],
        "left_out": [],
        "models": [way],
        "machine": {
            "cpu": "Z80",
            "usable_cpus": 2,
            "memory_bytes": 2**34,
            "cpu_flags": ["avx2"],
            "build_features": ["AVX2"],
            "nvidia_cards": [],
            "devices": [],
            "system": "Linux-6.1-alices-kernel-x86_64",
            "python": "3.11.7",
            "versions": {"demotic": "0.1.0"},
        },
    }


def rate_of(base: dict[str, Any], other: dict[str, Any]) -> Any:
    (found,) = (one for one in compare(base, other, NAMES).ratios if one.figure == "tokens_per_second")
    return found


def test_the_interval_of_a_ratio_holds_it_and_is_wider_for_noisier_samples() -> None:
    quiet = bootstrap([100, 101, 99, 100, 100], [200, 201, 199, 200, 202])
    noisy = bootstrap([100, 140, 70, 100, 120], [200, 260, 150, 200, 230])
    assert quiet is not None
    assert noisy is not None
    assert quiet[0] <= 2 <= quiet[1]
    assert 1.96 < quiet[0] < quiet[1] < 2.06
    assert noisy[1] - noisy[0] > 5 * (quiet[1] - quiet[0])
    assert bootstrap([1, 2], [1, 2, 3]) is None


def test_constant_samples_have_the_ratio_alone() -> None:
    assert bootstrap([2, 2, 2], [3, 3, 3]) == (1.5, 1.5)


def test_more_tokens_are_better_and_longer_times_are_worse() -> None:
    base, other = result(100, 101, 99, 100), result(50, 51, 49, 50)
    verdicts = {one.figure: (round(one.ratio, 2), one.verdict) for one in compare(base, other, NAMES).ratios}
    assert verdicts["tokens_per_second"] == (0.5, "worse")
    assert verdicts["ttft_seconds"] == (2.0, "worse")
    assert verdicts["itl_seconds"] == (2.0, "worse")
    assert verdicts["load_seconds"] == (1.0, "no difference shown")
    assert rate_of(other, base).verdict == "better"


def test_a_difference_within_the_noise_is_none() -> None:
    assert rate_of(result(100, 120, 80, 95), result(104, 90, 118, 101)).verdict == "no difference shown"
    assert rate_of(result(100, 101), result(50, 51)).verdict == "too few samples"


def test_what_differs_is_listed() -> None:
    base, other = result(1, 2, 3), result(1, 2, 3, threads=4)
    other["machine"] |= {"cpu": "6502", "cpu_flags": ["avx2", "avx512f"], "versions": {"demotic": "0.2.0"}}
    found = {(one.where, one.name): (one.base, one.other) for one in compare(base, other, NAMES).differences}
    assert found == {
        ("machine", "cpu"): ("Z80", "6502"),
        ("machine", "cpu_flags"): ([], ["avx512f"]),
        ("machine", "demotic"): ("0.1.0", "0.2.0"),
        ("settings of m", "threads"): (2, 4),
    }


def test_other_work_is_refused_by_name() -> None:
    base = result(1, 2, 3)
    with pytest.raises(InvalidRequest, match=r"m is another file: SHA-256 abababababab… in A\.json, cdcdcdcdcdcd…"):
        compare(base, result(1, 2, 3, sha256="cd" * 32), NAMES)
    with pytest.raises(
        InvalidRequest, match=r"only A\.json has answers of 64 after 64, only B\.json has answers of 32"
    ):
        compare(base, result(1, 2, 3, output=32), NAMES)
    with pytest.raises(InvalidRequest, match="4 at once"):
        compare(base, result(1, 2, 3, batch=4), NAMES)
    with pytest.raises(InvalidRequest, match="no model in common: m and n"):
        compare(base, result(1, 2, 3, model="n", sha256="cd" * 32), NAMES)
    with pytest.raises(InvalidRequest, match="by other rules"):
        compare(base, result(1, 2, 3) | {"measured": "Otherwise."}, NAMES)


def test_a_file_of_another_name_is_the_same_model() -> None:
    assert rate_of(result(1, 2, 3), result(2, 4, 6, model="renamed")).ratio == 2


def test_the_ways_of_a_sweep_are_compared_each_with_its_own() -> None:
    base, other = result(10, 10, 10, threads=1), result(40, 40, 40, threads=2)
    base["models"] += result(20, 20, 20, threads=2)["models"]
    other["models"] += result(30, 30, 30, threads=8)["models"]
    comparison = compare(base, other, NAMES)
    rates = [one.ratio for one in comparison.ratios if one.figure == "tokens_per_second"]
    # Two threads with two; what is left of the same file on both sides is compared too, and the threads told.
    assert rates == [2, 3]
    assert [(one.base, one.other) for one in comparison.differences] == [(1, 8)]


def saved(folder: Path, name: str, document: dict[str, Any]) -> Path:
    path = folder / name
    path.write_text(json.dumps(document), encoding="utf-8")
    return path


def test_the_command_prints_a_page_or_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    paths = [saved(tmp_path, name, result(*rates)) for name, rates in (("a.json", (1, 1, 1)), ("b.json", (2, 2, 2)))]
    assert run_compare(paths, as_json=False) == 0
    page = capsys.readouterr().out
    assert "| m | answers of 64 after 64 | tokens/s | 1 | 2 | 2 | 2 to 2 | better |" in page
    assert "Nothing else differs." in page
    assert run_compare([*paths, paths[0]], as_json=True) == 0
    document = json.loads(capsys.readouterr().out)
    assert [one["other"] for one in document["comparisons"]] == [str(paths[1]), str(paths[0])]
    assert document["comparisons"][0]["ratios"][2]["interval"] == [2, 2]


def test_what_is_no_result_is_refused(tmp_path: Path) -> None:
    good = saved(tmp_path, "a.json", result(1, 2, 3))
    load = saved(tmp_path, "serve.json", {"benchmark": "serve"})
    with pytest.raises(InvalidRequest, match=r"another benchmark \(serve\)"):
        run_compare([good, load], as_json=False)
    text = tmp_path / "text.json"
    text.write_text("no", encoding="utf-8")
    with pytest.raises(InvalidRequest, match="cannot be read"):
        run_compare([good, text], as_json=False)
    with pytest.raises(InvalidRequest, match="one result only"):
        run_compare([good], as_json=False)


def test_a_card_has_the_figures_and_names_nobody(tmp_path: Path) -> None:
    document = result(10, 11, 12)
    document["models"][0] |= dict.fromkeys(("model", "name"), "/people/alice/models/m.gguf")
    document["machine"]["hostname"] = document["note"] = "alices-laptop"
    page = tmp_path / "card.md"
    assert submit_card(saved(tmp_path, "a.json", document), page, force=False) == 0
    text = page.read_text(encoding="utf-8")
    assert "| m.gguf (Q4_K_M) | cpu, f16 | 2 | answers of 64 after 64 | 11.0 (10.0 to 12.0) |" in text
    assert "ab" * 32 in text
    assert "alice" not in text
    inner = json.loads(text.split("```json\n")[1].split("\n```")[0])
    assert inner == plain(card_of(document))
    assert inner["machine"]["system"] == "Linux"
    with pytest.raises(InvalidRequest, match="exists already"):
        submit_card(tmp_path / "a.json", page, force=False)
    alone = tmp_path / "card.json"
    submit_card(tmp_path / "a.json", alone, force=False)
    assert json.loads(alone.read_text(encoding="utf-8")) == inner


def test_a_card_with_the_users_name_in_it_is_not_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("getpass.getuser", lambda: "alice")
    document = copy.deepcopy(result(1, 2, 3))
    document["models"][0]["model"] = "tuned by alice"
    with pytest.raises(InvalidRequest, match="would hold 'alice'"):
        submit_card(saved(tmp_path, "a.json", document), tmp_path / "card.md", force=False)
    assert not (tmp_path / "card.md").exists()
