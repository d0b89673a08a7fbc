"""An answer, rendered while it comes: what is finished of it stays as it is.

Markdown is parsed from the last block on, which is the only one that can still change. Blocks stand in sections, and
only those on the screen are laid out, so that a token costs the same in a long answer as in a short one.
"""

from __future__ import annotations

from markdown_it import MarkdownIt
from markdown_it.rules_core import StateCore
from textual.await_complete import AwaitComplete
from textual.widgets import Markdown
from textual.widgets._markdown import MarkdownBlock
from textual.widgets.markdown import MarkdownStream

from tui.shown import shown
from tui.widgets.blocks import LAID_BLOCKS
from tui.widgets.growing import FOLLOWING, grow
from tui.widgets.placed import Placing, Section
from tui.widgets.turn import Turn

# So many in a section, and so many sections in one of those that the answer consists of: all of either is looked at.
_MOST_BLOCKS = 4
_MOST_SECTIONS = 16


class Answer(Placing, Markdown, Turn):
    """What a model says."""

    DEFAULT_CSS = """
    Section > MarkdownParagraph {
        margin: 0 0 1 0;
    }
    /* The margin above is less by that below the section before: margins of sections do not share a row. */
    Section > .following {
        margin: 0 0 1 0;
    }
    Section > MarkdownH1.following, Section > MarkdownH2.following {
        margin: 1 0 1 0;
    }
    """

    BLOCKS = LAID_BLOCKS

    def __init__(self, text: str = "") -> None:
        # Opening a link could start a browser inside this very terminal.
        super().__init__(shown(text) or None, parser_factory=_parser, open_links=False)
        self._stream: MarkdownStream | None = None
        self._open_text = ""

    async def write(self, text: str) -> None:
        """Add the next piece."""
        if self._stream is None:
            self._stream = self.get_stream(self)
        await self._stream.write(shown(text))

    async def finish(self) -> None:
        """Wait until all pieces are on the screen; none may follow."""
        if self._stream is not None:
            await self._stream.stop()

    def update(self, markdown: str) -> AwaitComplete:
        """Show this text alone."""

        async def begin_anew() -> None:
            await self.remove_children()
            self._markdown = self._open_text = ""
            await self.append(markdown)

        return AwaitComplete(begin_anew())

    def append(self, markdown: str) -> AwaitComplete:
        """Add to the text; nothing before its last block is looked at."""

        async def add() -> None:
            async with self.lock:
                self._markdown += markdown
                self._open_text += markdown
                tokens = _parser().parse(self._open_text)
                first = next((token.map[0] for token in reversed(tokens) if token.map and token.level == 0), 0)
                self._open_text = "".join(self._open_text.splitlines(keepends=True)[first:])
                with self.app.batch_update():
                    await self._show(list(self._parse_markdown(tokens)))

        return AwaitComplete(add())

    async def _show(self, blocks: list[MarkdownBlock]) -> None:
        """Show blocks, of which the first is the last one so far, as it is now."""
        if not self.children:
            first, *more = _parted(blocks, 0)
            more.insert(0, first)
        elif not self.children[-1].children:
            return  # The chat is left in mid-answer: its widgets go from the inside out.
        else:
            section = self.children[-1].children[-1]
            await grow(section, blocks[:1])
            first, *more = _parted(blocks[1:], len(section.children))
            await section.mount_all(first)
        for part in more:
            await self._add(Section(*part))

    async def _add(self, section: Section) -> None:
        if self.children and len(self.children[-1].children) < _MOST_SECTIONS:
            await self.children[-1].mount(section)
        else:
            await self.mount(Section(section))


def _parted(blocks: list[MarkdownBlock], num_before: int) -> list[list[MarkdownBlock]]:
    """The blocks of each section; the first goes on with one of `num_before` blocks."""
    parts: list[list[MarkdownBlock]] = [[]]
    for block in blocks:
        if num_before + len(parts[-1]) >= _MOST_BLOCKS:
            block.add_class(FOLLOWING)
            parts.append([])
            num_before = 0
        parts[-1].append(block)
    return parts


def _parser() -> MarkdownIt:
    """Markdown as models write it: a line of a poem stays a line, and `<think>` is text, not HTML that nobody sees."""
    parser = MarkdownIt("gfm-like", {"html": False})
    parser.core.ruler.push("keep_lines", _keep_lines)
    return parser


def _keep_lines(state: StateCore) -> None:
    for token in state.tokens:
        for child in token.children or ():
            if child.type == "softbreak":
                child.type = "hardbreak"
