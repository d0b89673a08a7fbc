"""What a conversation's screen knows of choices: what was chosen, and that it is remembered and shown."""

from __future__ import annotations

import msgspec
from textual.reactive import reactive

from tui.choosing.choices import Choices
from tui.choosing.offers import Offer
from tui.client import ChatClient
from tui.screens.download import DownloadPanel
from tui.screens.reading import ReadingScreen
from tui.talk import Talk


class ChosenScreen(ReadingScreen):
    """`choices` count from the next message on; they are those of `talk`."""

    choices: reactive[Choices] = reactive(Choices())
    model_name = reactive("")
    talk: Talk

    @property
    def client(self) -> ChatClient | None:
        """What asks the model, once it is there."""
        return self.app.client

    @property
    def can_switch(self) -> bool:
        """Whether the chat's own server answers, whose model can be changed."""
        return self.app.can_switch

    async def download(self, offer: Offer, reference: str) -> Offer | None:
        """Offer a model that is not on this machine."""
        return await self.app.push_screen_wait(DownloadPanel(offer, reference))

    async def switch_model(self, reference: str) -> bool:
        """Have another model of the own server answer."""
        return await self.app.switch_model(reference)

    def forget_given(self) -> None:
        """The model of the command line does not count any more."""
        self.app.is_model_given = False

    def watch_choices(self, choices: Choices) -> None:
        """Show the adapter, and what answers are locked to."""
        if self.is_mounted:
            self.status.adapter = choices.adapter
            self.status.locked_to = "" if choices.lock is None else choices.lock.language

    async def choose(self, choices: Choices, model: str | None = None) -> None:
        """Ask in this way from now on, and remember it with the conversation; `model` is one that was chosen."""
        self.choices = choices
        await self.talk.choose_for(choices, model)

    async def ask_for(self, client: ChatClient, model: str, choices: Choices) -> None:
        """From the next message on, `model` of the server answers, with the adapter of `choices`."""
        client.model = choices.model(model)
        await client.look()
        model, adapter = client.parts
        self.talk.model = self.model_name = model
        self.talk.choices = self.choices = msgspec.structs.replace(choices, adapter=adapter)
        if self.is_attached:  # the chat may have been left meanwhile
            self.status.know(client.served)
