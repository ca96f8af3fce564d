"""Markdown as pages show it: no HTML passes, no picture is fetched, and links lead nowhere that runs something."""

from __future__ import annotations

from functools import cache, lru_cache
from typing import Any

from markdown_it import MarkdownIt
from markdown_it.token import Token
from markupsafe import Markup

__all__ = ["markdown"]


@lru_cache(maxsize=512)
def markdown(text: str, level: int = 3) -> Markup:
    """Return Markdown as HTML; HTML in it is shown as text.

    :param level: which heading the highest one becomes, so that a page keeps its outline.
    """
    tokens = _parser().parse(text)
    least = min((int(token.tag[1]) for token in tokens if token.type == "heading_open"), default=1)
    _shift(tokens, level - least)
    return Markup(_parser().renderer.render(tokens, _parser().options, {}))


@cache
def _parser() -> MarkdownIt:
    return MarkdownIt("commonmark", {"html": False, "linkify": False}).enable("table").disable("image")


def _shift(tokens: list[Token], by: int) -> None:
    for token in tokens:
        if token.type in ("heading_open", "heading_close"):
            token.tag = f"h{min(6, max(1, int(token.tag[1]) + by))}"
        elif token.type == "link_open":
            attributes: dict[str, Any] = token.attrs
            attributes["rel"] = "noreferrer noopener"
        # A style is an attribute that the policy forbids; a class says the same.
        style = token.attrs.pop("style", None)
        if isinstance(style, str) and style.startswith("text-align:"):
            token.attrSet("class", f"align-{style.removeprefix('text-align:')}")
        if token.children:
            _shift(token.children, by)
