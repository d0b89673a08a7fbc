"""The model picker: what is here, what the catalogue has, and whatever else of the hub is typed."""

from __future__ import annotations

import re
from collections.abc import Iterable

from textual import work

from runtime.errors import DemoticError
from tui.choosing.languages import names_of
from tui.choosing.offers import Offer, listed, previewed, sized
from tui.history.folding import fold
from tui.screens.download import DownloadPanel
from tui.screens.picker import Picker, Row
from tui.words import _, mark

# hf:org/repo[@revision][:file-or-quantization], also without hf:, and the path of a file.
_REFERENCE = re.compile(r"(?:hf:)?[\w.-]+/[\w.-]+(?:@[\w./-]+)?(?::[\w./-]+)?|\S+\.gguf", re.ASCII | re.IGNORECASE)
_MOST_LANGUAGES = 4


class ModelPicker(Picker[Offer]):
    """Gives the model to switch to, which is on this machine; one that is not is offered for download first."""

    title_text = mark("Choose a model")
    search_hint = mark("Name, language, licence, or hf:org/repo")

    def __init__(self, begun: str = "", *, current: str = "") -> None:
        super().__init__(begun)
        self._current = current
        self._offers: list[Offer] = []

    def on_mount(self) -> None:
        """Look for the models."""
        super().on_mount()
        self._look()

    async def load(self) -> None:
        """See `Picker.load`."""
        self._offers = await listed()

    def rows(self) -> Iterable[Row[Offer]]:
        """Models of this machine first."""
        return [self._row(offer) for offer in self._offers]

    def made_of(self, typed: str) -> Iterable[Row[Offer]]:
        """What is typed as a reference."""
        if _REFERENCE.fullmatch(typed) and typed not in {offer.name for offer in self._offers}:
            reference = typed if typed.casefold().startswith("hf:") or typed.endswith(".gguf") else f"hf:{typed}"
            yield Row(Offer(reference, source=reference), reference, _("look for it"))

    async def choose(self, value: Offer) -> None:
        """Take one that is here; look up and offer another."""
        if value.here:
            self.dismiss(value)
        else:
            self._offer(value)

    @work(group="models", exclusive=True)
    async def _look(self) -> None:
        self.wait_for(_("Looking for models …"))
        try:
            await self.load()
        except DemoticError as fault:
            self.refuse(str(fault))
            return
        finally:
            self.wait_for("")
        self.show_rows()

    @work(group="models", exclusive=True)
    async def _offer(self, offer: Offer) -> None:
        self.refuse("")
        self.wait_for(_("Asking the hub about {name} …").format(name=offer.name))
        try:
            found = await previewed(offer.name)
        except DemoticError as fault:
            self.refuse(str(fault))
            return
        finally:
            self.wait_for("")
        if found.here:
            self.dismiss(found)
            return
        reference = offer.name
        brought = await self.app.push_screen_wait(DownloadPanel(found, reference))
        if brought is not None:
            self.dismiss(brought)

    def _row(self, offer: Offer) -> Row[Offer]:
        spoken = names_of(offer.languages, _MOST_LANGUAGES)
        where = _("in use") if offer.name == self._current else _("here") if offer.here else _("to download")
        facts = [offer.name, where, sized(offer.size_bytes), offer.fit.label]
        more = [offer.license or _("licence not known"), spoken]
        every = names_of(offer.languages, len(offer.languages))
        searched = " ".join([offer.name, offer.title, offer.license or "", offer.source, every, *offer.languages])
        return Row(offer, _joined(facts), _joined(more), fold(searched))


def _joined(parts: Iterable[str]) -> str:
    return " · ".join(part for part in parts if part)
