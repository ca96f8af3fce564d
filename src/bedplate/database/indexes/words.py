"""What people type into a search box, read once for every database.

Words are runs of letters and digits; case does not count. All of them must occur, ``"several words"`` beside each
other, those with ``-`` before them not at all, and one that ends in ``*`` stands for all that begin so.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass

__all__ = ["Term", "fts5_query", "parsed", "tsquery"]

#: Terms of one search; more cost the database time and find nothing.
MOST = 32

_TERM = re.compile(r'(?P<minus>(?<![^\s])-)?(?:"(?P<phrase>[^"]*)"?|(?P<bare>[^\s"]+))')
_WORD = re.compile(r"[^\W_]+")


@dataclass(frozen=True, slots=True)
class Term:
    """Words that must stand beside each other, often one.

    :ivar prefix: whether the last word may go on. :ivar excluded: whether the term must not occur.
    """

    words: tuple[str, ...]
    prefix: bool = False
    excluded: bool = False


def parsed(text: str) -> tuple[Term, ...]:
    """Return the terms of a search; none when it holds no word that must occur, and then nothing is found."""
    found: list[Term] = []
    for match in _TERM.finditer(unicodedata.normalize("NFC", text)):
        bare = match["bare"]
        words = tuple(_WORD.findall((bare if bare is not None else match["phrase"]).lower()))
        if words:
            prefix = bare is not None and bare.endswith("*")
            found.append(Term(words, prefix, match["minus"] is not None))
    terms = tuple(dict.fromkeys(found))[:MOST]
    return terms if any(not term.excluded for term in terms) else ()


def tsquery(terms: tuple[Term, ...]) -> str:
    """Return terms as PostgreSQL's ``to_tsquery`` reads them; empty for none, which finds nothing."""
    return " & ".join(("!" if term.excluded else "") + _phrase(term) for term in terms)


def _phrase(term: Term) -> str:
    # Words hold letters and digits alone, so that there is nothing to escape.
    words = [f"'{word}'" for word in term.words]
    if term.prefix:
        words[-1] += ":*"
    joined = " <-> ".join(words)
    return f"({joined})" if len(words) > 1 else joined


def fts5_query(terms: tuple[Term, ...]) -> str:
    """Return terms as SQLite's FTS5 reads them; ``""`` for none, which finds nothing."""
    wanted = [_fts5(term) for term in terms if not term.excluded]
    if not wanted:
        return '""'
    unwanted = "".join(f" NOT {_fts5(term)}" for term in terms if term.excluded)
    return f"({' AND '.join(wanted)}){unwanted}" if unwanted else " AND ".join(wanted)


def _fts5(term: Term) -> str:
    return f'"{" ".join(term.words)}"' + ("*" if term.prefix else "")
