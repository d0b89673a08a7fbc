"""The report of `demotic bench`."""

from __future__ import annotations

import json

from benchmarks.report import Spread, to_json
from benchmarks.speed.report import GenerationSpeed, ModelSpeed, PromptSpeed, speed_report, to_markdown

MODEL_KEYS = """
model file_bytes threads gpu_layers context load_seconds prompts generation rss_before_bytes rss_peak_bytes
""".split()


def test_the_keys_of_a_speed_report_are_these() -> None:
    one = Spread(2.0, 1.0, 3.123456789)
    speed = ModelSpeed(
        *("m", 5, 2, 0, 512, 0.5, (PromptSpeed(one, one, one),), GenerationSpeed(one, one, one, one, one)),
        *(100, 200),
    )
    report = speed_report([speed], {"repetitions": 3}, is_interrupted=False)
    document = json.loads(to_json(report))
    assert list(document) == ["benchmark", "measured", "plan", "is_interrupted", "models", "machine"]
    assert list(document["models"][0]) == MODEL_KEYS
    assert document["models"][0]["prompts"][0]["tokens_per_second"] == {"median": 2, "low": 1, "high": 3.12346}
    page = to_markdown(report)
    assert "| m | 2 | 2.0 (1.0 to 3.1) | 2 (1 to 3) | 0.50 |" in page
    assert "Medians of 3 (least to most)" in page
