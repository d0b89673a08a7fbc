"""Blocks of Markdown while a text comes: the last one changes, and all before it stay as they are."""

from __future__ import annotations

from collections.abc import Sequence

from textual.containers import Horizontal
from textual.widget import Widget
from textual.widgets._markdown import (
    MarkdownBlock,
    MarkdownBullet,
    MarkdownFence,
    MarkdownList,
    MarkdownParagraph,
    MarkdownTable,
    MarkdownTableContent,
)

# The first block of a section that is not the first one.
FOLLOWING = "following"


async def grow(body: Widget, blocks: Sequence[MarkdownBlock]) -> None:
    """Have `body` show `blocks` from its last block on: that one as it is now, and what follows it."""
    if body.children and blocks:
        last = body.children[-1]
        if isinstance(last, MarkdownBlock) and _is_as(last, blocks[0]):
            await last._update_from_block(blocks[0])  # noqa: SLF001  # no public name
            blocks = blocks[1:]
        else:
            blocks[0].set_class(last.has_class(FOLLOWING), FOLLOWING)
            await last.remove()
    await body.mount_all(blocks)


async def grow_list(body: Widget, rows: Sequence[Horizontal]) -> None:
    """Have a list show `rows`, of which all before its last one are as they were."""
    at = len(body.children) - 1
    if at < 0 or at >= len(rows) or _bullet_of(body.children[at]) != _bullet_of(rows[at]):
        await body.remove_children()
        await body.mount_all(rows)
        return
    shown, item = body.children[at].children[-1], rows[at]._pending_children[-1]  # noqa: SLF001  # no public name
    blocks = [block for block in item._pending_children if isinstance(block, MarkdownBlock)]  # noqa: SLF001
    await grow(shown, blocks[max(0, len(shown.children) - 1) :])
    await body.mount_all(rows[at + 1 :])


def _is_as(shown: MarkdownBlock, block: MarkdownBlock) -> bool:
    """Whether a block that is shown becomes `block` without another widget."""
    if isinstance(shown, MarkdownTable) and isinstance(block, MarkdownTable):
        return any(content.rows for content in shown.query_children(MarkdownTableContent))
    return type(shown) is type(block) and isinstance(shown, (MarkdownParagraph, MarkdownFence, MarkdownList))


def _bullet_of(row: Widget) -> tuple[type[Widget], str]:
    """On which side the bullet is, and what it is."""
    parts = row.children or row._pending_children  # noqa: SLF001  # no public name
    (bullet,) = [part.symbol for part in parts if isinstance(part, MarkdownBullet)]
    return type(row), bullet
