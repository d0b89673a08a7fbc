"""How the chat looks: light, dark, high contrast. What is read stands out as WCAG 2.2 asks (a test computes it)."""

from __future__ import annotations

from textual.theme import Theme

from runtime.errors import ConfigurationInvalid
from tui.words import mark

DEFAULT = "dark"

_DARK = Theme(
    name="dark",
    primary="#7aa2f7",
    secondary="#9d8cf0",
    accent="#7aa2f7",
    warning="#e5b567",
    error="#ff8a8a",
    success="#8fd19e",
    foreground="#e4e6eb",
    background="#16181d",
    surface="#20232a",
    panel="#343a46",
    dark=True,
    variables={"text-muted": "#a9b0bd", "text-error": "#ff9c9c", "block-cursor-foreground": "#16181d"},
)
_LIGHT = Theme(
    name="light",
    primary="#1d4ed8",
    secondary="#6d28d9",
    accent="#1d4ed8",
    warning="#8a5300",
    error="#b42318",
    success="#17692f",
    foreground="#1b1f24",
    background="#ffffff",
    surface="#f2f4f7",
    panel="#d5dae2",
    dark=False,
    variables={
        "text-muted": "#535b67",
        "text-error": "#a11d13",
        "text-primary": "#1a3fb0",
        "text-secondary": "#5b21b6",
        "text-accent": "#1a3fb0",
        "text-warning": "#6b4000",
        "text-success": "#0f5223",
        "footer-key-foreground": "#1a3fb0",
        "block-cursor-foreground": "#ffffff",
    },
)
_HIGH_CONTRAST = Theme(
    name="high-contrast",
    primary="#ffff00",
    secondary="#00ffff",
    accent="#ffff00",
    warning="#ffd000",
    error="#ff9e9e",
    success="#6bff6b",
    foreground="#ffffff",
    background="#000000",
    surface="#000000",
    panel="#8c8c8c",
    dark=True,
    variables={
        "text-muted": "#ffffff",
        "text-error": "#ffb0b0",
        "footer-background": "#000000",
        "block-cursor-foreground": "#000000",
    },
)

THEMES = {theme.name: theme for theme in (_DARK, _LIGHT, _HIGH_CONTRAST)}
# By their names in the interface's language.
LABELS = {"dark": mark("dark"), "light": mark("light"), "high-contrast": mark("high contrast")}


def checked_theme(name: str) -> str:
    """`name` as it is.

    Raises:
        ConfigurationInvalid: there is no such theme.
    """
    if name not in THEMES:
        raise ConfigurationInvalid(f"There is no theme '{name}'.", remedy=f"There are {', '.join(THEMES)}.")
    return name
