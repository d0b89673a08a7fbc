"""Layouts that run from right to left: the first widget at the right. Their order, and so what is copied, stays."""

from __future__ import annotations

from textual.geometry import Size
from textual.layout import ArrangeResult, WidgetPlacement
from textual.layouts.grid import GridLayout
from textual.layouts.horizontal import HorizontalLayout
from textual.widget import Widget


class MirroredGrid(GridLayout):
    """A grid whose first column is the rightmost one."""

    def arrange(self, parent: Widget, children: list[Widget], size: Size, greedy: bool = True) -> ArrangeResult:
        """See `Layout.arrange`."""
        return _mirrored(super().arrange(parent, children, size, greedy))


class MirroredHorizontal(HorizontalLayout):
    """A row that begins at the right."""

    def arrange(self, parent: Widget, children: list[Widget], size: Size, greedy: bool = True) -> ArrangeResult:
        """See `Layout.arrange`."""
        return _mirrored(super().arrange(parent, children, size, greedy))


def _mirrored(placements: ArrangeResult) -> list[WidgetPlacement]:
    """The placements in the same columns of cells, from the other side."""
    left = min((placement.region.x for placement in placements), default=0)
    right = max((placement.region.right for placement in placements), default=0)
    return [
        placement._replace(
            region=placement.region.at_offset((left + right - placement.region.right, placement.region.y))
        )
        for placement in placements
    ]
