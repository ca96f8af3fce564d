"""How values are written for people: numbers, durations, bytes, moments."""

from __future__ import annotations

import math
from datetime import UTC, datetime

__all__ = ["ago", "count", "duration", "exact", "iso", "number", "plural", "quantity", "spell"]

_LARGE = ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"))
_BYTES = ((2**40, "TiB"), (2**30, "GiB"), (2**20, "MiB"), (2**10, "KiB"))
_SPANS = ((86_400.0, "d"), (3_600.0, "h"), (60.0, "min"))


def number(value: float, digits: int = 3) -> str:
    """Return a number with so many significant digits and a thousands' letter: ``1.23k``; ``–`` for none."""
    if math.isnan(value):
        return "–"
    if math.isinf(value):
        return "∞" if value > 0 else "−∞"
    size = abs(value)
    for least, letter in _LARGE:
        if size >= least:
            return _significant(value / least, digits) + letter
    if size and size < 0.001:
        return f"{value:.{digits - 1}e}".replace("e-0", "e-").replace("-", "−")
    return _significant(value, digits)


def count(value: float) -> str:
    """Return a whole number with thousands apart: ``12 345``."""
    return f"{round(value):,}".replace(",", "\u202f").replace("-", "−") if math.isfinite(value) else number(value)


def duration(seconds: float | None) -> str:
    """Return a time span as people say it: ``340 µs``, ``12 ms``, ``1.2 s``, ``3 min``, ``2 h 5 min``, ``4 d``."""
    if seconds is None or math.isnan(seconds):
        return "–"
    if math.isinf(seconds):
        return "∞"
    sign, seconds = ("−" if seconds < 0 else ""), abs(seconds)
    if seconds == 0:
        return "0 s"
    if seconds < 1e-3:
        return f"{sign}{_significant(seconds * 1e6, 3)} µs"
    if seconds < 1:
        return f"{sign}{_significant(seconds * 1e3, 3)} ms"
    if seconds < 60:
        return f"{sign}{_significant(seconds, 3)} s"
    for place, (length, unit) in enumerate(_SPANS):
        if seconds >= length:
            whole = int(seconds // length)
            below, name = _SPANS[place + 1] if place + 1 < len(_SPANS) else (1.0, "s")
            rest = int((seconds - whole * length) // below)
            return f"{sign}{whole} {unit}" + (f" {rest} {name}" if rest and whole < 10 else "")
    raise AssertionError(seconds)


def ago(then: float | None, now: float) -> str:
    """Return how long ago a moment was: ``3 min ago``, ``in 2 h``, ``just now``."""
    if then is None:
        return "–"
    span = now - then
    if abs(span) < 2:
        return "just now"
    said = _coarse(abs(span))
    return f"{said} ago" if span > 0 else f"in {said}"


def _coarse(seconds: float) -> str:
    if seconds < 60:
        return f"{int(seconds)} s"
    for length, unit in _SPANS:
        if seconds >= length:
            return f"{int(seconds // length)} {unit}"
    raise AssertionError(seconds)


def iso(moment: float) -> str:
    """Return Unix seconds as ISO 8601 in UTC, to the millisecond."""
    return datetime.fromtimestamp(moment, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def exact(moment: float) -> str:
    """Return a moment to the second in UTC: ``2026-11-27 10:42:04 UTC``."""
    return datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def plural(amount: int, noun: str, nouns: str = "") -> str:
    """Return ``1 alert`` or ``3 alerts``."""
    return f"{count(amount)} {noun if amount == 1 else nouns or noun + 's'}"


def quantity(value: float, unit: str = "") -> str:
    """Return a value in one of Grafana's units, as :class:`~bedplate.declarations.Panel` names them."""
    if math.isnan(value):
        return "–"
    match unit:
        case "s":
            return duration(value)
        case "ms":
            return duration(value / 1e3)
        case "percentunit":
            return f"{_significant(value * 100, 3)} %"
        case "percent":
            return f"{_significant(value, 3)} %"
        case "bytes" | "decbytes":
            return _bytes(value)
        case "Bps" | "binBps":
            return f"{_bytes(value)}/s"
        case "ops" | "reqps" | "rps" | "cps" | "wps" | "iops":
            return f"{number(value)}/s"
        case "" | "short" | "none":
            return number(value)
        case "bool" | "bool_yes_no":
            return "yes" if value else "no"
    return f"{number(value)} {unit}"


def spell(names: list[str]) -> str:
    """Return ``a``, ``a and b``, or ``a, b and c``."""
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}" if names else ""


def _bytes(value: float) -> str:
    for least, unit in _BYTES:
        if abs(value) >= least:
            return f"{_significant(value / least, 3)} {unit}"
    return f"{_significant(value, 3)} B"


def _significant(value: float, digits: int) -> str:
    if value == 0:
        return "0"
    places = max(0, digits - 1 - math.floor(math.log10(abs(value))))
    text = f"{value:.{places}f}"
    return (text.rstrip("0").rstrip(".") if "." in text else text).replace("-", "−")
