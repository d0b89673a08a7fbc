"""Long conversations: what is far from the screen has its height, and nothing in it is laid out.

Textual lays out every widget of a screen each time that one of them changes its height.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from textual.containers import Vertical
from textual.geometry import Size
from textual.layout import DockArrangeResult
from textual.widget import Widget

# Textual takes a widget's styles from its first base that is a widget, so what is mixed in must be none.
if TYPE_CHECKING:
    _Mixin = Widget
else:
    _Mixin = object


class Placing(_Mixin):
    """A container that knows from which row to which its children are."""

    _placed: DockArrangeResult | None = None

    def arrange(self, size: Size, optimal: bool = False) -> DockArrangeResult:
        """See `Widget.arrange`."""
        placed = super().arrange(size, optimal)
        if placed is not self._placed:
            self._placed = placed
            self._rows = {each.widget: (each.region.y, each.region.bottom) for each in placed.placements}
        return placed

    def rows_of(self, child: Widget) -> tuple[int, int] | None:
        """Where a child is, as far as that is known."""
        return None if self._placed is None else self._rows.get(child)


class Section(Placing, Vertical):
    """A part of an entry of a transcript, or some of its parts. Its height is reckoned when something in it changes.

    What it is in must be `Placing`, up to what scrolls it, or it is looked for where it would be without scrolling.
    """

    DEFAULT_CSS = """
    Section {
        height: auto;
    }
    """
    # For which width and which children the height is known, and that height.
    _known: tuple[tuple[int, int], int] | None = None

    def get_content_height(self, container: Size, viewport: Size, width: int) -> int:
        """See `Widget.get_content_height`. The container's height, which grows all the while, does not matter."""
        key = (width, self._nodes._updates)  # noqa: SLF001  # no public name
        if self._known is None or self._known[0] != key:
            self._known = (key, super().get_content_height(Size(container.width, 0), viewport, width))
        return self._known[1]

    def _clear_arrangement_cache(self) -> None:
        """Something in it has changed."""
        super()._clear_arrangement_cache()
        self._known = None

    @property
    def _has_relative_children_height(self) -> bool:
        return False

    @property
    def is_scrollable(self) -> bool:
        """Whether Textual looks at what is in it."""
        return super().is_scrollable and not self._is_far

    @property
    def _is_far(self) -> bool:
        """Whether none of it is on the screen, which is at least as high as the transcript."""
        top, height = 0, 0
        child: Widget = self
        while isinstance(parent := child.parent, Placing):
            rows = parent.rows_of(child)
            if rows is None:
                return False
            height = height or rows[1] - rows[0]
            top += rows[0] - parent.scroll_offset.y
            child = parent
        return top + height < 0 or top > self.screen.size.height
