"""What a column shows of itself: what it asks, what it does, and the figures of its answer."""

from __future__ import annotations

from tui.choosing.choices import Mode
from tui.choosing.languages import named
from tui.choosing.locks import AUTO
from tui.keynames import with_keys
from tui.lab.column import Column
from tui.lab.figures import Figures, InLanguage
from tui.lab.trial import State, Trial
from tui.words import _, mark, plural

_STATES: dict[State, str] = {
    "waiting": mark("waits for its turn"),
    "loading": mark("loading …"),
    "answering": mark("answering … ({lab-stop} stops)"),
    "complete": "",
    "stopped": mark("stopped"),
    "failed": mark("failed"),
}
# Below this share, an answer is rather in another language.
_MOSTLY = 0.5
_MODES: dict[Mode, str] = {"soft": mark("soft"), "hard": mark("hard")}


def language_line(column: Column) -> str:
    """Which language the answer is asked for in."""
    spoken = named(column.language).label if column.language else _("as the prompt has it")
    return _("Language: {language}").format(language=spoken)


def lock_line(column: Column) -> str:
    """What the answer is locked to."""
    lock = column.lock
    if lock is None:
        return _("Lock: none")
    spoken = _("the language of the message") if lock.language == AUTO else named(lock.language).label
    return _("Lock: {language}, {mode}").format(language=spoken, mode=_(_MODES[lock.mode]))


def adapter_line(column: Column) -> str:
    """Which adapter there is."""
    return _("Adapter: {name}").format(name=column.adapter or _("no adapter"))


def result_lines(trial: Trial) -> list[str]:
    """How an answer stands: what it does or, once it has ended, what it took and how it kept to its language."""
    state = with_keys(_(_STATES[trial.state])) if _STATES[trial.state] else ""
    lines = [state] if state else []
    if trial.figures is not None:
        lines += _figure_lines(trial.figures, trial.reason)
    if trial.language is not None:
        lines += _language_lines(trial.language)
    return lines


def _figure_lines(figures: Figures, reason: str) -> list[str]:
    counts = [
        plural("{count} token", "{count} tokens", figures.num_tokens),
        plural("{count} character", "{count} characters", figures.num_characters),
        plural("{count} grapheme", "{count} graphemes", figures.num_graphemes),
    ]
    cut = " " + _("(cut at the length limit)") if reason == "length" else ""
    rates = _("{token_rate:.1f} tokens/s, {character_rate:.1f} characters/s").format(
        token_rate=figures.tokens_per_second, character_rate=figures.characters_per_second
    )
    first = _("first after {seconds:.2f} s").format(seconds=figures.first_token_seconds)
    if figures.num_cached_tokens:
        known = plural("{count} prompt token known", "{count} prompt tokens known", figures.num_cached_tokens)
        first += f" · {known}"
    return [" · ".join(counts) + cut, rates, first]


def _language_lines(told: InLanguage) -> list[str]:
    parts = []
    if told.fidelity is not None:
        parts.append(_("{share:.0%} in {language}").format(share=told.fidelity, language=named(told.asked).name))
        if told.fidelity < _MOSTLY and told.found:
            parts.append(_("mostly in {language}").format(language=named(told.found[0].language).name))
    if told.num_foreign_characters == 0:
        parts.append(_("the lock held"))
    elif told.num_foreign_characters:
        count = told.num_foreign_characters
        parts.append(plural("{count} character past the lock", "{count} characters past the lock", count))
    return [" · ".join(parts)] if parts else []
