"""Who has the keys while a card asks whether its tool may run."""

from __future__ import annotations

from runtime.chat.tools.approval import Verdict
from tui.widgets.card import CallCard
from tui.widgets.prompt import Prompt

# A key that was on its way to the prompt is no answer to a question that has just come up.
_SETTLE_SECONDS = 0.5


async def answer_on(card: CallCard, prompt: Prompt, *, is_read_only: bool) -> Verdict:
    """What the person decides on a call's card. It gets the keys unless something is being typed, and gives them back.

    `is_read_only`: the tool says that it changes nothing.
    """

    def offer_focus() -> None:
        if card.state == "asking" and not prompt.value:
            card.focus()

    screen = prompt.screen
    settling = screen.set_timer(_SETTLE_SECONDS, offer_focus)
    try:
        return await card.ask(is_read_only=is_read_only)
    finally:
        settling.stop()
        # It is gone where the chat was left meanwhile.
        if screen.is_attached and screen.focused is card:
            prompt.focus()
