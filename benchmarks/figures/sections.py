"""The parts of pages that are made from results files; `tests/docs/render.py` puts them where they belong."""

from __future__ import annotations

import statistics
from collections.abc import Mapping
from typing import Any

from benchmarks.compare_trim import SIDES
from benchmarks.figures.results import between, link, result, told
from benchmarks.figures.rows import MODELS, alone, beside_others
from benchmarks.report import table
from runtime.language.codes import Language, english_name

_LANGUAGES = "languages-gemma-3-270m"
# The README's picture of languages: with many speakers, or alone with their script.
SHOWN_LANGUAGES = tuple(
    "eng_Latn zho_Hans spa_Latn ben_Beng hin_Deva fra_Latn deu_Latn jpn_Jpan ind_Latn rus_Cyrl tha_Thai kor_Hang "
    "tur_Latn arb_Arab mal_Mlym tam_Taml bul_Cyrl swh_Latn heb_Hebr guj_Gujr kan_Knda sin_Sinh ell_Grek kat_Geor "
    "hau_Latn tel_Telu vie_Latn khm_Khmr hye_Armn amh_Ethi lao_Laoo pan_Guru yor_Latn mya_Mymr bod_Tibt chr_Cher "
    "zgh_Tfng iii_Yiii div_Thaa iku_Cans vai_Vaii jav_Java fuf_Adlm".split()
)
_FEW = ("eng_Latn", "spa_Latn", "hin_Deva", "bul_Cyrl", "tha_Thai", "amh_Ethi", "mya_Mymr", "iku_Cans", "fuf_Adlm")


def readme() -> str:
    """The README's figures."""
    others = ("what", "demotic", "beside", "ratio", "goal", "result, and how to repeat it")
    own = ("what", "figure", "goal", "result, and how to repeat it")
    where = told(result("llama-server")["machine"])
    about = (
        f"Measured on {where}; medians. A ratio is of figures taken in turns in one run; the machine is shared, so the "
        "figures themselves differ from hour to hour. Every file names its machine."
    )
    tables = (table(others, [row.cells() for row in beside_others()]), table(own, [row.cells() for row in alone()]))
    return "\n\n".join([about, *tables, _trim(), _languages()])


def _trim() -> str:
    rows = [row for row in result("trim")["rows"] if row["model"] == "gemma-3-270m"]
    ratios = [_ratio(row["speed"], "generation") for row in rows]
    servers = [
        statistics.median(row["llama_server"]["trimmed"]) / statistics.median(row["llama_server"]["original"])
        for row in rows
    ]
    sizes = [row["report"]["bytes"][1] / row["report"]["bytes"][0] for row in rows]
    growth = max(_own(row)["held_out"]["growth"] for row in rows)
    bits = [after / before - 1 for before, after in (_own(row)["proof"]["bits_per_byte"] for row in rows)]
    heads = ("trimmed for English and", "rows", "MB", "tokens/s", "characters/s", "more tokens")
    about = (
        f"Trimmed to one language and English, Gemma 3 270M decodes {between(ratios)} times as fast (goal: 2), and "
        f"under llama-server {between(servers)} times, with {between(sizes, '{:.1%}')} of the bytes (goal: under "
        f"40 %), at most {growth:.2%} more tokens on held-out text (goal: 1.2 %) and {between(bits, '{:+.1%}')} bits "
        f"by byte (goal: at most +1.5 %); every kept logit is equal to the bit ({link('trim')}, "
        "`python -m benchmarks.compare_trim`; [how](docs/trimming.md#measured))."
    )
    picture = "![Characters a second of Gemma 3 270M, original and trimmed](docs/pictures/trim.svg)"
    return "\n\n".join([about, table(heads, [_trim_cells(row, of_model=False) for row in rows]), picture])


def trim_table() -> str:
    """The table of docs/trimming.md: every model and language that was trimmed."""
    heads = (
        *("model, language", "rows", "MB", "decoding, tokens/s", "characters/s", "more tokens"),
        *("ratio", "llama-server", "of the bytes", "bits/byte"),
    )
    rows = []
    for row in result("trim")["rows"]:
        server = [statistics.median(row["llama_server"][side]) for side in SIDES]
        before, after = row["report"]["bytes"]
        bits = _own(row)["proof"]["bits_per_byte"]
        more = (
            *(f"{_ratio(row['speed'], 'generation'):.2f}", f"{server[1] / server[0]:.2f}"),
            *(f"{after / before:.1%}", f"{bits[1] / bits[0] - 1:+.1%}"),
        )
        rows.append((*_trim_cells(row, of_model=True), *more))
    return table(heads, rows)


def trim_speeds(row: Mapping[str, Any]) -> dict[str, tuple[float, float]]:
    """Of one trimmed file: side -> tokens/s and, in held-out text of the language, characters/s."""
    per_character = _own(row)["held_out"]["tokens_per_character"]
    found = {}
    for side, tokens in zip(SIDES, per_character, strict=True):
        speed = statistics.median(row["speed"][side]["generation"])
        found[side] = (speed, speed / tokens)
    return found


def _trim_cells(row: Mapping[str, Any], *, of_model: bool) -> tuple[str, ...]:
    before, after = row["report"]["bytes"]
    language = english_name(Language(*_own(row)["name"].split("_")))
    speeds = list(trim_speeds(row).values())
    return (
        f"{MODELS[row['model']]}, {language}" if of_model else language,
        f"{row['report']['rows'][1]:,} of {row['report']['rows'][0]:,}",
        f"{before / 1e6:.0f} → {after / 1e6:.0f}",
        f"{speeds[0][0]:.0f} → {speeds[1][0]:.0f}",
        f"{speeds[0][1]:.0f} → {speeds[1][1]:.0f}",
        f"{_own(row)['held_out']['growth']:+.2%}",
    )


def _own(row: Mapping[str, Any]) -> Any:
    """What the report says of the language itself; English comes after it."""
    return row["report"]["sources"][0]


def _ratio(speed: Mapping[str, Any], figure: str) -> float:
    before, after = (float(statistics.median(speed[side][figure])) for side in SIDES)
    return after / before


def _languages() -> str:
    [model] = result(_LANGUAGES)["models"]
    costs = model["languages"]
    times = [cost["answer"]["times_best"] for cost in costs]
    twice = sum(each > 2 for each in times)
    about = (
        "The same text (articles 1 to 5 of the Universal Declaration of Human Rights) takes Gemma 3 270M up to "
        f"{max(times):.0f} times as long to write in one language as in another. In {twice} of {len(costs)} languages "
        f"it takes more than twice as long as in {costs[0]['name']} ({link(_LANGUAGES)}, "
        "`demotic bench gemma-3-270m --languages all`; [all of them](docs/benchmarking-languages.md))."
    )
    picture = (
        f"![What the same text costs Gemma 3 270M in {len(SHOWN_LANGUAGES)} languages]"
        "(docs/pictures/languages-some.svg)"
    )
    return "\n\n".join([about, language_table(_FEW), picture])


def all_languages() -> str:
    """The table of docs/benchmarking-languages.md."""
    return language_table(())


def language_table(shown: tuple[str, ...]) -> str:
    """Gemma's languages, the cheapest first; all of them where none are named."""
    [model] = result(_LANGUAGES)["models"]
    heads = (
        *("language", "tokens", "characters/token", "prompt, characters/s", "times the best"),
        *("answer, characters/s", "graphemes/s", "bytes/s", "times the best"),
    )
    return table(
        heads,
        [
            (
                f"{cost['name']} `{cost['language']}`",
                f"{cost['tokens']:,}",
                f"{cost['characters_per_token']:.2f}",
                f"{cost['prompt']['characters_per_second']:,.0f}",
                f"{cost['prompt']['times_best']:.2f}",
                *(f"{cost['answer'][f'{unit}_per_second']:,.0f}" for unit in ("characters", "graphemes", "bytes")),
                f"{cost['answer']['times_best']:.2f}",
            )
            for cost in model["languages"]
            if not shown or cost["language"] in shown
        ],
    )
