"""Markdown pages as the docs' checks see them: code blocks, links and the anchors of headings."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from urllib.parse import unquote, urlsplit

from markdown_it import MarkdownIt
from markdown_it.token import Token

__all__ = ["Block", "Page", "broken_links", "pages"]

_ANCHOR = re.compile(r"""<[a-z]+\b[^>]*?\b(?:id|name)=["']([^"']+)["']""", re.IGNORECASE)
_LINK = re.compile(r"""<(?:a|img|source)\b[^>]*?\b(?:href|src|srcset)=["']([^"']+)["']""", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced block: the first word after the fence is its language, further words are tags."""

    line: int
    language: str
    tags: frozenset[str]
    text: str


class Page:
    """One Markdown file, parsed once."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._tokens = MarkdownIt("commonmark").enable(["table"]).parse(path.read_text(encoding="utf-8"))

    @cached_property
    def blocks(self) -> list[Block]:
        """The fenced blocks in their order; ``line`` is that of the first line inside the fence, from 1."""
        found = []
        for token in self._tokens:
            if token.type == "fence":
                language, *tags = token.info.split() or [""]
                line = (token.map or [0])[0] + 2
                found.append(Block(line, language.lower(), frozenset(tags), token.content))
        return found

    @cached_property
    def links(self) -> list[tuple[int, str]]:
        """Every target of a link or an image with its line, as written."""
        found = []
        for line, token in self._inline():
            target = token.attrGet("href") or token.attrGet("src")
            if target:
                found.append((line, str(target)))
            elif token.type.startswith("html"):
                found += [(line, match) for match in _LINK.findall(token.content)]
        return found

    @cached_property
    def anchors(self) -> frozenset[str]:
        """The fragments that a link to this page may name: GitHub's slugs of headings, and explicit ids."""
        found: set[str] = set()
        for index, token in enumerate(self._tokens):
            if token.type == "heading_open":
                slug = plain = _slug(self._tokens[index + 1])
                repeats = 0
                while slug in found:
                    repeats += 1
                    slug = f"{plain}-{repeats}"
                found.add(slug)
        for _, token in self._inline():
            if token.type.startswith("html"):
                found.update(_ANCHOR.findall(token.content))
        return frozenset(found)

    def _inline(self) -> Iterator[tuple[int, Token]]:
        for token in self._tokens:
            line = (token.map or [0])[0] + 1
            yield line, token
            for child in token.children or ():
                yield line, child


def _slug(heading: Token) -> str:
    text = "".join(child.content for child in heading.children or () if child.type in ("text", "code_inline"))
    return re.sub(r"[^\w\- ]", "", text.strip().lower()).replace(" ", "-")


def pages(root: Path) -> list[Path]:
    """Return the project's pages: those at the top, in docs/, and each service's own."""
    found = [*root.glob("*.md"), *root.glob("docs/**/*.md"), *root.glob("services/*/*.md")]
    return sorted(path for path in found if path.is_file())


def broken_links(path: Path, root: Path) -> Iterator[str]:
    """Yield a message for each link of a page to a file or heading of the project that is not there.

    Addresses with a scheme are not fetched. A target that begins with a slash counts from ``root``.
    """
    page = Page(path)
    for line, target in page.links:
        parts = urlsplit(target)
        if parts.scheme or parts.netloc:
            continue
        where = f"{path.relative_to(root).as_posix()}:{line}: [{target}]"
        name = unquote(parts.path)
        base = root / name.lstrip("/") if name.startswith("/") else path.parent / name
        goal = base.resolve() if name else path
        if not goal.exists():
            yield f"{where}: there is no such file"
        elif not goal.is_relative_to(root.resolve()) and name:
            yield f"{where}: leads out of the project"
        elif parts.fragment and goal.suffix == ".md" and unquote(parts.fragment) not in Page(goal).anchors:
            yield f"{where}: {goal.name} has no heading with that anchor"
