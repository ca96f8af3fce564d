"""Faults of written values: broken encodings, blanks, spellings, typing errors, names cut at the end of a field.

All of them look at the different values of a column with their counts, never at its rows.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from typing import Final

import numpy as np
import polars as pl

from synfinance.quality.faults import Fault
from synfinance.quality.found import counted, found, percent
from synfinance.quality.kinds import Kind
from synfinance.quality.reading import Column
from synfinance.quality.report import Finding

# UTF-8 read as Windows-1252 or Latin-1: a lead byte's character before one of a continuation byte; or already lost.
_MOJIBAKE: Final = "[\u00c2\u00c3\u00c5\u00c4\u00d0\u00d1][\u0080-\u00bf\u0152\u0153\u0160\u0161\u0178\u017d\u017e\u0192\u02c6\u02dc\u2013-\u203a\u20ac\u2122]|\u00e2\u20ac|\u00ef\u00bb\u00bf|\ufffd"  # noqa: E501
_CONTROL: Final = "[\\x00-\\x08\\x0b\\x0c\\x0e-\\x1f\\x7f\u200b\u2060\ufeff]"
_BLANKS: Final = r"^\s|\s$|\s{2,}"

_TYPO_CATEGORIES: Final = 1_000
_TYPO_LENGTH: Final = 5
_TYPO_TOKEN: Final = 4
_TYPO_FREQUENT: Final = 20
_TYPO_SHARE: Final = 0.02
_CUT_VALUES: Final = 50
_CUT_SPIKE: Final = 30
_CUT_END: Final = 10
_CUT_LENGTH: Final = 8
_CUT_WALL: Final = 15


def check_texts(column: Column) -> Iterator[Finding]:
    """What is wrong with how the values of a column are written."""
    vocabulary = column.vocabulary
    if vocabulary.is_empty():
        return
    yield from _matching(column, Fault.MOJIBAKE, _MOJIBAKE, "were decoded with the wrong encoding")
    yield from _matching(column, Fault.CONTROL_CHARACTERS, _CONTROL, "hold control or invisible characters")
    yield from _matching(column, Fault.WHITESPACE, _BLANKS, "begin or end with a blank, or hold several in a row")
    yield from _spellings(column)
    if column.kind is Kind.CATEGORY and vocabulary.height <= _TYPO_CATEGORIES:
        yield from _typos(column)
    if column.kind.wordy:
        yield from _cut(column)


def _matching(column: Column, fault: Fault, pattern: str, what: str) -> Iterator[Finding]:
    vocabulary = column.vocabulary
    bad = vocabulary.filter(pl.col("value").str.contains(pattern))
    if bad.is_empty():
        return
    count = _extrapolated(column, int(bad["count"].sum()))
    yield found(
        fault,
        column.name,
        count,
        len(column),
        f"{counted(count, 'value')} ({percent(count / len(column))}) {what}",
        examples=bad["value"].head(5),
    )


def _spellings(column: Column) -> Iterator[Finding]:
    """Values that are the same but for case, punctuation and blanks; short ones and numbers are left alone."""
    vocabulary = column.vocabulary
    if column.known < 2 * vocabulary.height:
        return
    plain = pl.col("value").str.strip_chars().str.replace_all(r"\s+", " ")
    key = plain.str.to_lowercase().str.replace_all(r"[^\p{L}\p{N}]+", " ").str.strip_chars()
    groups = (
        vocabulary.with_columns(plain=plain, key=key)
        .filter(pl.col("key").str.contains(r"\p{L}") & (pl.col("key").str.len_chars() >= 3))
        .group_by("key", "plain")
        .agg(pl.col("count").sum())
        .sort("count", "plain", descending=True)
        .group_by("key", maintain_order=True)
        .agg("plain", "count")
        .filter(pl.col("plain").list.len() > 1)
        .with_columns(lesser=pl.col("count").list.sum() - pl.col("count").list.first())
        .sort("lesser", "key", descending=True)
    )
    if groups.is_empty():
        return
    count = _extrapolated(column, int(groups["lesser"].sum()))
    yield found(
        Fault.SPELLING,
        column.name,
        count,
        len(column),
        f"{groups.height:,} {_plural(groups.height, 'value is', 'values are')} written in more than one way "
        f"(case, punctuation); {count:,} rows do not use the commonest",
        examples=[" = ".join(forms[:3]) for forms in groups["plain"].head(5).to_list()],
    )


def _typos(column: Column) -> Iterator[Finding]:
    """Rare categories one letter away from a frequent one."""
    vocabulary = column.vocabulary.with_columns(pl.col("value").str.strip_chars()).group_by("value")
    counts = {value: count for value, count in vocabulary.agg(pl.col("count").sum()).iter_rows() if value}
    frequent: defaultdict[str, list[str]] = defaultdict(list)
    for value, count in counts.items():
        if count >= _TYPO_FREQUENT and len(value) >= _TYPO_LENGTH:
            for form in _less_one(value):
                frequent[form].append(value)
    pairs: dict[str, str] = {}
    for value, count in counts.items():
        if len(value) < _TYPO_LENGTH:
            continue
        for form in _less_one(value):
            for other in frequent.get(form, ()):
                if other != value and count <= _TYPO_SHARE * counts[other] and _one_letter(value, other):
                    pairs[value] = other
    if not pairs:
        return
    count = sum(counts[value] for value in pairs)
    yield found(
        Fault.TYPO,
        column.name,
        count,
        len(column),
        f"{len(pairs)} rare {_plural(len(pairs), 'value is', 'values are')} one letter away from a common one, "
        f"in {count:,} rows",
        examples=[f"{value} → {other}" for value, other in pairs.items()],
    )


def _less_one(value: str) -> set[str]:
    """The value, and the value less each of its characters."""
    return {value, *(value[:i] + value[i + 1 :] for i in range(len(value)))}


def _one_letter(value: str, other: str) -> bool:
    """Whether one letter is replaced, added, left out or swapped with its neighbour, inside of a word."""
    start = 0
    while start < min(len(value), len(other)) and value[start] == other[start]:
        start += 1
    end = 0
    while end < min(len(value), len(other)) - start and value[-1 - end] == other[-1 - end]:
        end += 1
    middles = value[start : len(value) - end], other[start : len(other) - end]
    swapped = len(middles[0]) == 2 and middles[0] == middles[1][::-1]
    letters = all(middle.isalpha() for middle in middles if middle)
    before = other[:start].rsplit(" ", 1)[-1]
    after = other[len(other) - end :].split(" ", 1)[0] if end else ""
    within = len(before) + len(middles[1]) + len(after) >= _TYPO_TOKEN and middles[0].lower() != middles[1].lower()
    return letters and within and (swapped or max(map(len, middles)) <= 1)


def _cut(column: Column) -> Iterator[Finding]:
    """Values cut at a fixed length: more different values of one length than of the lengths before, and few longer.

    Natural lengths fade out; a field that ends leaves a wall. At the greatest length, where nothing is longer, it is
    enough that the values do not fade.
    """
    # A final digit is mostly a number that counts up, whose values get longer in steps of their own.
    vocabulary = column.vocabulary.filter(~pl.col("value").str.contains(r"\d\s*$"))
    if vocabulary.height < _CUT_VALUES:
        return
    lengths = vocabulary.select(length=pl.col("value").str.strip_chars_end().str.len_chars(), count="count")
    kinds = np.bincount(lengths["length"].to_numpy()).astype(np.float64)
    rows = np.bincount(lengths["length"].to_numpy(), lengths["count"].to_numpy().astype(np.float64))
    last = len(kinds) - 1
    cut: dict[int, float] = {}
    for length in range(_CUT_LENGTH, last + 1):
        here, before = float(kinds[length]), float(np.median(kinds[length - 3 : length]))
        if not before:
            continue
        if length == last and here >= max(_CUT_END, before / 2 if length >= _CUT_WALL else 2 * before):
            cut[length] = 1.0
        elif length < last and here >= max(_CUT_SPIKE, 1.9 * before) and kinds[length + 1] <= here / 2:
            cut[length] = 1.0 - before / here
    if not cut:
        return
    count = _extrapolated(column, round(sum(rows[length] * share for length, share in cut.items())))
    places = _listed([str(length) for length in cut])
    most = max(cut, key=lambda length: kinds[length] * cut[length])
    shown = vocabulary.filter(pl.col("value").str.strip_chars_end().str.len_chars().is_in([most, last]))
    yield found(
        Fault.TRUNCATED,
        column.name,
        count,
        len(column),
        f"values seem cut at {places} characters: {int(sum(kinds[length] for length in cut)):,} different ones end "
        f"exactly there, in about {count:,} rows",
        examples=shown["value"].head(5),
    )


def _extrapolated(column: Column, count: int) -> int:
    """A count in the vocabulary as a count in the column, when the vocabulary is a sample."""
    seen = int(column.vocabulary["count"].sum())
    return min(column.known, round(count * column.known / seen)) if seen else count


def _plural(count: int, one: str, many: str) -> str:
    return one if count == 1 else many


def _listed(words: list[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"
