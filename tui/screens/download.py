"""A model that is not here: what it is, whether it is wanted, and how far its download is."""

from __future__ import annotations

from typing import ClassVar

from textual import work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.widgets import ProgressBar
from textual.worker import Worker

from runtime.errors import DemoticError
from tui.choosing.facts import facts_of
from tui.choosing.offers import Offer, Step, pulled, sized
from tui.laid import Laid
from tui.screens.panel import Panel
from tui.shown import shown
from tui.words import _, mark


class DownloadPanel(Panel[Offer]):
    """Asks, downloads, and gives the model. Escape cancels; what came so far stays for the next time."""

    DEFAULT_CSS = """
    DownloadPanel .facts, DownloadPanel .step {
        height: auto;
    }
    DownloadPanel ProgressBar {
        width: 100%;
    }
    DownloadPanel Bar {
        width: 1fr;
    }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "download", show=False, priority=True, id="download", tooltip=mark("download the model")),
    ]
    title_text = mark("Download {name}?")
    hint_text = mark("{download} downloads · {leave} cancels; what came so far is kept")

    def __init__(self, offer: Offer, reference: str) -> None:
        super().__init__()
        self._offer = offer
        self._reference = reference
        self._download_worker: Worker[None] | None = None

    @property
    def heading(self) -> str:
        """With the model's name."""
        return _(self.title_text).format(name=self._offer.name)

    def compose_body(self) -> ComposeResult:
        """What is known of it, and the bar."""
        yield Laid(classes="facts", markup=False)
        yield Laid(classes="step", markup=False)
        yield ProgressBar(show_eta=False)

    def on_mount(self) -> None:
        """Ask."""
        super().on_mount()
        self.query_one(ProgressBar).display = False

    def show_words(self) -> None:
        """Tell what is known of it."""
        super().show_words()
        self.query_one(".facts", Laid).update("\n".join(shown(line) for line in facts_of(self._offer)))

    def action_download(self) -> None:
        """Begin, or begin again after a fault."""
        if self._download_worker is None or self._download_worker.is_finished:
            self.refuse("")
            self._download_worker = self._download()

    def action_leave(self) -> None:
        """Stop the download, if there is one, and leave."""
        self.workers.cancel_node(self)
        self.dismiss(None)

    @work(group="download", exclusive=True)
    async def _download(self) -> None:
        self.query_one(ProgressBar).display = True
        try:
            brought = await pulled(self._reference, self._show)
        except DemoticError as fault:
            self.query_one(ProgressBar).display = False
            self.refuse(str(fault))
            return
        self.dismiss(brought)

    def _show(self, step: Step) -> None:
        self.query_one(ProgressBar).update(total=step.total_bytes, progress=step.num_bytes)
        share = _("{done} of {total}").format(done=sized(step.num_bytes), total=sized(step.total_bytes))
        self.query_one(".step", Laid).update(share if step.total_bytes is not None else sized(step.num_bytes))
