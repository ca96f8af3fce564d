"""From what SQLite keeps to the canonical form of a value, and back; what would have to be changed to fit is refused.

SQLite keeps any value in any column. So a reader looks at each: text in a column of integers is a :class:`Misfit`, not
a number, and so is a date with a zone where the column has none.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable
from datetime import UTC, date, datetime
from decimal import Decimal, InvalidOperation
from functools import lru_cache
from typing import Any

from bedplate.database.transfer.errors import Misfit
from bedplate.database.transfer.jsons import bare_number, number, read_json, shortest
from bedplate.database.transfer.kinds import Kind, affinity
from bedplate.database.transfer.lines import SPECIAL, escaped

__all__ = ["InvalidText", "Reader", "Writer", "of_invalid_text", "reader", "trimmed", "writer"]

#: From SQLite's value to a field of the canonical line, escaped.
Reader = Callable[[Any], str]
#: From the text of a field to SQLite's value.
Writer = Callable[[str], Any]

_ZONED = r"(Z|[+-]\d\d(?::?\d\d)?)?"
_TIME = r"(\d\d):(\d\d):(\d\d)(?:\.(\d+))?"
_DATE = re.compile(r"\d{4}-\d\d-\d\d")
_CLOCK = re.compile(_TIME)
_MOMENT = re.compile(rf"(\d{{4}}-\d\d-\d\d)[ T]{_TIME}{_ZONED}")
_PLAIN_DECIMAL = re.compile(r"-?(?:0|[1-9]\d*)(?:\.\d+)?")
_DECIMAL = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?")
_SPECIAL_DECIMALS = {"nan": "NaN", "infinity": "Infinity", "inf": "Infinity", "-infinity": "-Infinity"}
_UUID = re.compile(r"([0-9a-f]{8})-?([0-9a-f]{4})-?([0-9a-f]{4})-?([0-9a-f]{4})-?([0-9a-f]{12})", re.IGNORECASE)
#: What PostgreSQL's NUMERIC keeps of digits after the point.
_MOST_DIGITS = 16383


class InvalidText(bytes):
    """What SQLite calls text, and is not UTF-8."""


def of_invalid_text(raw: bytes) -> str | InvalidText:
    """Return the text of bytes that SQLite calls so; marked when it is none."""
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return InvalidText(raw)


def trimmed(kind: Kind, declared: str) -> bool:
    """Say whether a decimal's scale is not kept, as SQLite keeps it as a number."""
    return kind.name == "decimal" and kind.precision is None and affinity(declared) != "text"


def reader(kind: Kind, declared: str) -> Reader:
    """Return what reads values of a column of SQLite that are not NULL; it raises :class:`Misfit`."""
    return _READERS[kind.name](kind, declared)


def _wrong(value: Any, wanted: str) -> Misfit:
    if isinstance(value, InvalidText):
        return Misfit("its text is not UTF-8")
    found = {int: "an integer", float: "a number with a fraction", str: "text", bytes: "bytes"}[type(value)]
    return Misfit(f"{found} where {wanted} belongs")


def _integer(kind: Kind, declared: str) -> Reader:
    least, most = -(1 << kind.bits - 1), (1 << kind.bits - 1) - 1

    def read(value: Any) -> str:
        if type(value) is not int:
            raise _wrong(value, "an integer")
        if not least <= value <= most:
            raise Misfit(f"{value} is not between {least} and {most}")
        return str(value)

    return read


def _boolean(kind: Kind, declared: str) -> Reader:
    def read(value: Any) -> str:
        if type(value) is not int:
            raise _wrong(value, "true (1) or false (0)")
        if value not in (0, 1):
            raise Misfit(f"{value} where true (1) or false (0) belongs")
        return "t" if value else "f"

    return read


def _real(kind: Kind, declared: str) -> Reader:
    def read(value: Any) -> str:
        if type(value) is int:
            if int(float(value)) != value:
                raise Misfit("an integer of more digits than a float has")
            value = float(value)
        elif type(value) is not float:
            raise _wrong(value, "a number")
        if kind.bits == 32 and not _is_single(value):
            raise Misfit("a number of more digits than the target's type real has")
        return shortest(value)

    return read


def _is_single(value: float) -> bool:
    """Say whether four bytes hold a number, so that its shortest text is the same."""
    import numpy as np

    try:
        struct.pack("<f", value)
    except OverflowError:
        return False
    return float(str(np.float32(value))) == value


def _decimal(kind: Kind, declared: str) -> Reader:
    bounded, trim = kind.precision is not None, trimmed(kind, declared)

    def read(value: Any) -> str:
        if type(value) is str:
            if not bounded and not trim and _PLAIN_DECIMAL.fullmatch(value) and value[0] != "-":
                return value
            if value.lower() in _SPECIAL_DECIMALS and not bounded:
                return _SPECIAL_DECIMALS[value.lower()]
            if not _DECIMAL.fullmatch(value):
                raise _wrong(value, "a decimal")
            exact = Decimal(value)
        elif type(value) is float:
            exact = Decimal(repr(value))
            if not exact.is_finite():
                raise Misfit("infinity where a decimal belongs")
        elif type(value) is int:
            exact = Decimal(value)
        else:
            raise _wrong(value, "a decimal")
        return _as_bounded(exact, kind) if bounded else number(exact, trim)

    return read


def _as_bounded(exact: Decimal, kind: Kind) -> str:
    if abs(exact.adjusted()) > _MOST_DIGITS and exact:
        raise Misfit("a decimal of more digits than the target keeps")
    text = format(exact, f".{kind.scale}f")
    if Decimal(text) != exact:
        raise Misfit(f"a decimal with more than {kind.scale} digits after the point")
    if exact and exact.adjusted() >= (kind.precision or 0) - kind.scale:
        raise Misfit(f"a decimal with more than {(kind.precision or 0) - kind.scale} digits before the point")
    return text.removeprefix("-") if not exact else text


def _text(kind: Kind, declared: str) -> Reader:
    length, padded = kind.length, kind.padded

    def read(value: Any) -> str:
        if type(value) is not str:
            raise _wrong(value, "text")
        if length is not None and len(value) > length:
            raise Misfit(f"a text of {len(value)} characters, where {length} have room")
        if padded and value.endswith(" "):
            raise Misfit("a text that ends in blanks, which the target's type character does not keep")
        if SPECIAL.search(value):
            if "\0" in value:
                raise Misfit("a text with a NUL character, which PostgreSQL does not keep")
            return escaped(value)
        return value

    return read


def _bytes(kind: Kind, declared: str) -> Reader:
    def read(value: Any) -> str:
        if type(value) is not bytes:
            raise _wrong(value, "bytes")
        return "\\\\x" + value.hex()

    return read


def _date(kind: Kind, declared: str) -> Reader:
    def read(value: Any) -> str:
        if type(value) is not str or not _DATE.fullmatch(value):
            raise _wrong(value, "a date (2026-11-27)")
        _day(value)
        return value

    return read


@lru_cache(maxsize=10_000)
def _day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise Misfit("a date that there is not") from None


def _clock(hour: str, minute: str, second: str, fraction: str | None, digits: int) -> str:
    if hour > "23" or minute > "59" or second > "59":
        raise Misfit("a time of day that there is not")
    fraction = (fraction or "").rstrip("0")
    if len(fraction) > digits:
        raise Misfit(f"a time with more than {digits} digits of a second")
    return f"{hour}:{minute}:{second}.{fraction}" if fraction else f"{hour}:{minute}:{second}"


def _time(kind: Kind, declared: str) -> Reader:
    digits = 6 if kind.precision is None else kind.precision

    def read(value: Any) -> str:
        found = _CLOCK.fullmatch(value) if type(value) is str else None
        if found is None:
            raise _wrong(value, "a time (17:05:00)")
        return _clock(found[1], found[2], found[3], found[4], digits)

    return read


def _timestamp(kind: Kind, declared: str) -> Reader:
    zoned, digits = kind.name == "timestamptz", 6 if kind.precision is None else kind.precision

    def read(value: Any) -> str:
        found = _MOMENT.fullmatch(value) if type(value) is str else None
        if found is None:
            raise _wrong(value, "a date with a time (2026-11-27 17:05:00)")
        day, clock, zone = found[1], _clock(found[2], found[3], found[4], found[5], digits), found[6]
        _day(day)
        if not zoned:
            if zone is not None:
                raise Misfit("a time with a zone, where the target keeps none")
            return f"{day} {clock}"
        if zone in (None, "Z", "+00", "+00:00", "-00:00", "+0000"):
            return f"{day} {clock}+00"
        return _in_utc(day, clock, zone)

    return read


def _in_utc(day: str, clock: str, zone: str) -> str:
    whole, point, fraction = clock.partition(".")
    try:
        moment = datetime.fromisoformat(f"{day}T{whole}{zone}").astimezone(UTC)
    except (ValueError, OverflowError):
        raise Misfit("a zone or a year that there is not") from None
    return f"{moment:%Y-%m-%d %H:%M:%S}".rjust(19, "0") + f"{point}{fraction}+00"


def _uuid(kind: Kind, declared: str) -> Reader:
    def read(value: Any) -> str:
        if type(value) is bytes and len(value) == 16:
            value = value.hex()
        found = _UUID.fullmatch(value) if type(value) is str else None
        if found is None:
            raise _wrong(value, "a UUID")
        return "-".join(found.groups()).lower()

    return read


def _json(kind: Kind, declared: str) -> Reader:
    binary = kind.name == "jsonb"

    def read(value: Any) -> str:
        if type(value) in (int, float):
            # JSON is a numeric type to SQLite: a document that is a bare number is one there.
            if value != value or value in (float("inf"), float("-inf")):
                raise Misfit("infinity where JSON belongs")
            return number(Decimal(repr(value)), True)
        if type(value) is not str:
            raise _wrong(value, "JSON")
        return escaped(read_json(value, binary))

    return read


_READERS: dict[str, Callable[[Kind, str], Reader]] = {
    "integer": _integer,
    "boolean": _boolean,
    "real": _real,
    "decimal": _decimal,
    "text": _text,
    "bytes": _bytes,
    "date": _date,
    "time": _time,
    "timestamp": _timestamp,
    "timestamptz": _timestamp,
    "uuid": _uuid,
    "json": _json,
    "jsonb": _json,
}


def writer(kind: Kind, declared: str) -> Writer:
    """Return what turns canonical texts into values for a column of SQLite; it raises :class:`Misfit`."""
    kept, upper = affinity(declared), declared.upper()
    name = kind.name
    if name == "integer":
        return int
    if name == "boolean":
        return lambda text: 1 if text == "t" else 0
    if name == "real":
        return _to_real
    if name == "decimal":
        return str if kept == "text" else _to_number
    if name == "bytes":
        return lambda text: bytes.fromhex(text[2:])
    if name in ("timestamp", "timestamptz"):
        return _to_moment("+00:00" if "TZ" in upper or "ZONE" in upper else "")
    if name == "date":
        return _to_date
    if name == "time":
        return _to_time
    if name == "uuid":
        if kept == "blob":
            return lambda text: bytes.fromhex(text.replace("-", ""))
        return (lambda text: text.replace("-", "")) if "(32)" in upper else str
    if name in ("json", "jsonb") and kept == "numeric":
        return lambda text: _to_number(text) if bare_number(text) else text
    return str


def _to_real(text: str) -> float:
    value = float(text)
    if value != value:
        raise Misfit("NaN, which SQLite does not keep")
    return value


def _to_number(text: str) -> int | float:
    try:
        exact = Decimal(text)
        if exact.is_finite() and exact == exact.to_integral_value() and abs(exact) < 1 << 63:
            return int(exact)
        value = float(exact)
    except (InvalidOperation, ValueError, OverflowError):
        raise Misfit("a decimal that SQLite does not keep") from None
    if not exact.is_finite() or Decimal(repr(value)) != exact:
        raise Misfit("a decimal of more digits than SQLite's numbers have; declare the column as text")
    return value


def _to_moment(zone: str) -> Writer:
    def write(text: str) -> str:
        found = _MOMENT.fullmatch(text)
        if found is None:
            raise Misfit("a time before the year 1, after 9999, or infinite, which SQLite has no form for")
        return f"{found[1]} {found[2]}:{found[3]}:{found[4]}.{(found[5] or ''):0<6}{zone}"

    return write


def _to_date(text: str) -> str:
    if not _DATE.fullmatch(text):
        raise Misfit("a date before the year 1, after 9999, or infinite, which SQLite has no form for")
    return text


def _to_time(text: str) -> str:
    found = _CLOCK.fullmatch(text)
    if found is None or found[1] == "24":
        raise Misfit("24:00:00, which SQLite has no form for")
    return f"{found[1]}:{found[2]}:{found[3]}.{(found[4] or ''):0<6}"
