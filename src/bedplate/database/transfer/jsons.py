"""JSON and numbers in the forms that PostgreSQL gives back: ``json`` as it was written, ``jsonb`` as it keeps it."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

from bedplate.database.transfer.errors import Misfit

__all__ = ["bare_number", "number", "read_json", "shortest"]

_NUMBER = re.compile(r"[ \t\r\n]*-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?[ \t\r\n]*", re.ASCII)
_MOST_DIGITS = 16383


def shortest(value: float) -> str:
    """Return the shortest text of a float that is read as the same; zero has no sign, which SQLite does not keep."""
    return repr(value + 0.0)


def number(exact: Decimal, trim: bool) -> str:
    """Return a decimal as PostgreSQL writes it: plainly, with its scale or trimmed of it.

    :raises Misfit: when NUMERIC cannot keep it.
    """
    if exact and abs(exact.adjusted()) > _MOST_DIGITS:
        raise Misfit("a decimal of more digits than the target keeps")
    exponent = exact.as_tuple().exponent
    if isinstance(exponent, int) and exponent < -_MOST_DIGITS:
        raise Misfit("a decimal of more digits than the target keeps")
    text = format(exact, "f") if exact or not isinstance(exponent, int) or exponent <= 0 else "0"
    if trim and "." in text:
        text = text.rstrip("0").rstrip(".")
    return text.removeprefix("-") if not exact else text


def bare_number(text: str) -> bool:
    """Say whether a JSON document is a number and nothing else."""
    return _NUMBER.fullmatch(text) is not None


def read_json(text: str, binary: bool) -> str:
    """Return a document as PostgreSQL gives it back; a bare number without regard to its scale.

    :param binary: as ``jsonb``, where it is kept taken apart. :raises Misfit: when PostgreSQL refuses it.
    """
    if bare_number(text):
        return number(Decimal(text.strip()), True)
    try:
        document = json.loads(
            text,
            object_pairs_hook=_Pairs,
            parse_float=Decimal,
            parse_int=Decimal,
            parse_constant=_constant,
        )
    except RecursionError:
        raise Misfit("JSON that is nested too deeply") from None
    except ValueError:
        raise Misfit("text that is not JSON") from None
    if not binary:
        # What is only kept may hold what cannot be kept taken apart; its own bytes must fit, though.
        return text
    parts: list[str] = []
    try:
        _write(document, parts)
    except RecursionError:
        raise Misfit("JSON that is nested too deeply") from None
    return "".join(parts)


class _Pairs(list[tuple[str, Any]]):
    """The members of an object, all that were written."""


def _constant(name: str) -> Any:
    raise ValueError(name)


def _write(document: Any, parts: list[str]) -> None:
    if isinstance(document, _Pairs):
        _write_object(document, parts)
    elif isinstance(document, list):
        _write_array(document, parts)
    elif isinstance(document, str):
        parts.append(_string(document))
    elif isinstance(document, Decimal):
        parts.append(number(document, False))
    else:
        parts.append({True: "true", False: "false", None: "null"}[document])


def _write_array(items: Sequence[Any], parts: list[str]) -> None:
    parts.append("[")
    for place, item in enumerate(items):
        if place:
            parts.append(", ")
        _write(item, parts)
    parts.append("]")


def _write_object(members: _Pairs, parts: list[str]) -> None:
    kept = {_string(name): value for name, value in members}
    if len(kept) != len(members):
        raise Misfit("JSON with a name twice in an object, of which jsonb keeps one")
    # jsonb's own order: shorter names first, then by bytes.
    ordered = sorted((name.encode() for name, _ in members), key=lambda name: (len(name), name))
    parts.append("{")
    for place, raw in enumerate(ordered):
        name = _string(raw.decode())
        parts.append(f", {name}: " if place else f"{name}: ")
        _write(kept[name], parts)
    parts.append("}")


def _string(text: str) -> str:
    if "\0" in text:
        raise Misfit("JSON with a NUL character, which PostgreSQL does not keep")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise Misfit("JSON with half of a surrogate pair, which PostgreSQL does not keep") from None
    return json.dumps(text, ensure_ascii=False)
