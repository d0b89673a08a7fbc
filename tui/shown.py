"""A stranger's text as it may go to a terminal."""

from __future__ import annotations

from tui.bidi import visible_controls

# Line ends that Markdown does not know but Textual's counting of lines does; every other control character could be
# read as a command by the terminal.
_LINE_ENDS = "\x0b\x0c\x1c\x1d\x1e\x85\u2028\u2029"
_CONTROLS = "".join(map(chr, (*range(0x20), *range(0x7F, 0xA0)))).translate({ord("\t"): None, ord("\n"): None})
_SHOWN = str.maketrans(dict.fromkeys(_CONTROLS, "") | dict.fromkeys(_LINE_ENDS, "\n"))


def shown(text: str) -> str:
    """`text` as it may go to a terminal, whether a model wrote it or a person pasted it.

    No command gets through, and what could reorder it unseen is written out.
    """
    return visible_controls(text.translate(_SHOWN))
