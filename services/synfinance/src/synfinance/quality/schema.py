"""A schema given by the user: what each column must hold, read from JSON or YAML and checked before it is used.

    columns:
      transaction_id: {type: id, required: true, unique: true}
      amount: {type: amount, min: 0, max: 50000, nullable: false}
      currency: {type: currency, values: [EUR, GBP, USD]}
      reference: {type: text, pattern: "[A-Z]{2}-[0-9]{6}"}
      booked_at: timestamp
    strict: false

The level ``columns:`` may be left out, and a column may be given by its type alone.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from pathlib import Path
from typing import Any, Final

from synfinance.quality.kinds import Kind

_ALIASES: Final = {
    "string": Kind.TEXT,
    "str": Kind.TEXT,
    "int": Kind.NUMBER,
    "integer": Kind.NUMBER,
    "float": Kind.NUMBER,
    "double": Kind.NUMBER,
    "decimal": Kind.AMOUNT,
    "money": Kind.AMOUNT,
    "numeric": Kind.NUMBER,
    "bool": Kind.BOOLEAN,
    "date": Kind.TIMESTAMP,
    "datetime": Kind.TIMESTAMP,
    "time": Kind.TIMESTAMP,
    "enum": Kind.CATEGORY,
}
_TYPES: Final = {kind.value: kind for kind in Kind if kind not in (Kind.CONSTANT, Kind.EMPTY, Kind.OTHER)} | _ALIASES
_KEYS: Final = ("type", "required", "nullable", "unique", "min", "max", "values", "pattern")
_MAX_BYTES: Final = 4 << 20


class BadSchema(ValueError):
    """A schema that cannot be used; the message lists every fault."""


@dataclass(frozen=True, slots=True)
class ColumnRule:
    """What one column must hold. What is None is not checked."""

    kind: Kind | None = None
    integer: bool = False
    """Whether fractions are violations (types ``int`` and ``integer``)."""
    required: bool = True
    """Whether the column must be there."""
    nullable: bool | None = None
    """True: missing values are no fault. False: each is a violation. None: they count as missing."""
    unique: bool | None = None
    low: float | datetime | None = None
    high: float | datetime | None = None
    values: frozenset[str] | None = None
    pattern: str | None = None
    """A regular expression that a whole value must match."""


@dataclass(frozen=True, slots=True)
class Schema:
    """Rules by column name."""

    columns: Mapping[str, ColumnRule] = field(default_factory=dict)
    strict: bool = False
    """Whether columns without a rule are reported."""

    @classmethod
    def of(cls, document: object) -> Schema:
        """Read a schema from its JSON or YAML value. Raises :class:`BadSchema` listing every fault."""
        faults: list[str] = []
        if not isinstance(document, Mapping):
            raise BadSchema("a schema is a mapping from column name to type or rules")
        nested = isinstance(document.get("columns"), Mapping)
        columns = document["columns"] if nested else document
        strict = document.get("strict", False) if nested else False
        if nested:
            faults += [f"unknown key {key!r} beside 'columns'" for key in document if key not in ("columns", "strict")]
            if not isinstance(strict, bool):
                faults.append("'strict' must be true or false")
        rules = {str(name): _rule(str(name), given, faults) for name, given in columns.items()}
        if not rules:
            faults.append("it names no column")
        if faults:
            raise BadSchema("; ".join(faults))
        return cls(rules, bool(strict))

    @classmethod
    def load(cls, path: str | Path) -> Schema:
        """Read a schema file, JSON or YAML. Raises :class:`BadSchema`, its message beginning with the path."""
        try:
            with Path(path).open("rb") as file:
                content = file.read(_MAX_BYTES + 1)
            if len(content) > _MAX_BYTES:
                raise BadSchema(f"larger than {_MAX_BYTES >> 20} MiB; it is not a schema")
            return cls.of(_document(content.decode("utf-8-sig")))
        except OSError as error:
            raise BadSchema(f"{path}: cannot be read ({(error.strerror or str(error)).lower()})") from None
        except UnicodeDecodeError:
            raise BadSchema(f"{path}: not UTF-8 text; a schema is JSON or YAML") from None
        except BadSchema as error:
            raise BadSchema(f"{path}: {error}") from None


def _document(text: str) -> object:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as json_error:
        if text.lstrip().startswith(("{", "[")):
            raise BadSchema(f"not valid JSON ({json_error})") from None
    import yaml  # only a YAML schema needs it

    try:
        return yaml.safe_load(text)
    except (yaml.YAMLError, RecursionError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise BadSchema(f"neither JSON nor YAML ({reason})") from None


def _rule(name: str, given: object, faults: list[str]) -> ColumnRule:
    """One column's rule; what is wrong with it is added to ``faults``."""
    where = f"column {name!r}"
    if isinstance(given, str):
        given = {"type": given}
    if given is None:
        given = {}
    if not isinstance(given, Mapping):
        faults.append(f"{where}: give a type or a mapping of {', '.join(_KEYS)}")
        return ColumnRule()
    faults += [f"{where}: unknown key {key!r} (known: {', '.join(_KEYS)})" for key in given if key not in _KEYS]
    kind = None
    type_name = given.get("type")
    if type_name is not None:
        kind = _TYPES.get(str(type_name).lower())
        if kind is None:
            faults.append(f"{where}: unknown type {type_name!r} (known: {', '.join(sorted(_TYPES))})")
    for key in ("required", "nullable", "unique"):
        if not isinstance(given.get(key), bool | None):
            faults.append(f"{where}: {key!r} must be true or false")
    low, high = (_limit(given.get(key), f"{where}: {key!r}", faults) for key in ("min", "max"))
    if isinstance(low, datetime) != isinstance(high, datetime) and low is not None and high is not None:
        faults.append(f"{where}: 'min' and 'max' must both be numbers or both be dates")
    elif low is not None and high is not None and low > high:  # type: ignore[operator]  # of one type, checked above
        faults.append(f"{where}: 'min' is greater than 'max'")
    values = given.get("values")
    if values is not None and not isinstance(values, list | tuple):
        faults.append(f"{where}: 'values' must be a list")
        values = None
    pattern = given.get("pattern")
    if pattern is not None:
        pattern = _pattern(pattern, where, faults)
    required = given.get("required")
    return ColumnRule(
        kind=kind,
        integer=str(type_name).lower() in ("int", "integer"),
        required=required if isinstance(required, bool) else True,
        nullable=given.get("nullable"),
        unique=given.get("unique"),
        low=low,
        high=high,
        values=None if values is None else frozenset(_plain(value) for value in values),
        pattern=pattern,
    )


def _limit(value: Any, where: str, faults: list[str]) -> float | datetime | None:
    if value is None:
        return None
    if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
        return float(value)
    if isinstance(value, datetime):
        return value.replace(tzinfo=None)
    if isinstance(value, date):
        return datetime(value.year, value.month, value.day)  # noqa: DTZ001  # a limit has the zone of its column
    if isinstance(value, str):
        try:
            return datetime.fromisoformat(value).replace(tzinfo=None)
        except ValueError:
            pass
    faults.append(f"{where} must be a number or an ISO date, not {value!r}")
    return None


def _pattern(pattern: object, where: str, faults: list[str]) -> str | None:
    import polars as pl

    text = f"^(?:{pattern})$"
    try:
        re.compile(text)
        # Values are matched by Rust's regex engine, which knows no look-around and no back-references.
        pl.Series([""]).str.contains(text)
    except (re.error, pl.exceptions.ComputeError) as error:
        reason = (str(error).strip().splitlines() or ["?"])[-1]
        faults.append(f"{where}: 'pattern' {str(pattern)!r} is not a usable regular expression ({reason})")
        return None
    return text


def _plain(value: object) -> str:
    """An allowed value as the text that a column's values are compared as."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value)
