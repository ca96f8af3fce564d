"""Keys: made from a function's arguments by a builder that is compiled once, and what of a key is its pattern."""

from __future__ import annotations

import hashlib
import inspect
import re
import string
from collections.abc import Callable, Mapping
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from functools import lru_cache
from operator import attrgetter
from typing import Any
from uuid import UUID

import orjson

from bedplate.problems import DeclarationError
from bedplate.state.cache.errors import CacheKeyError

__all__ = ["LONGEST", "Builder", "compiled", "default_template", "matcher", "pattern_of", "stored", "template_pattern"]

#: Characters of a key; what is longer ends in a digest of the whole.
LONGEST = 400
_SAFE = re.compile(r"[^A-Za-z0-9_.\-@+= ]")
_VARIES = re.compile(r"\d|^.{25,}$")

Builder = Callable[[tuple[Any, ...], Mapping[str, Any]], str]


def stored(key: str) -> str:
    """Return a key as the store has it: without what would move it elsewhere in a cluster, and not too long.

    :raises CacheKeyError: when it is empty.
    """
    if not key:
        raise CacheKeyError("A cache key is empty.", "Give it a name.")
    if len(key) > LONGEST:
        key = (
            f"{key[: LONGEST - 41]}~{hashlib.blake2b(key.encode('utf-8', 'surrogatepass'), digest_size=20).hexdigest()}"
        )
    if "{" in key or "}" in key:
        key = key.replace("{", "%7B").replace("}", "%7D")
    return key if key.isascii() else key.encode("utf-8", "replace").decode()


def part(value: Any) -> str:
    """Return an argument as a part of a key, so that no two arguments that differ make the same one.

    :raises CacheKeyError: when it says nothing that lasts, such as a connection or a request.
    """
    kind = type(value)
    if kind is int:
        return str(value)
    if kind is str:
        # A colon in a name must not look like the next part; `%` begins what stands for something else.
        return value if value.isalnum() and value.isascii() else _quoted(value)
    return _other(value)


def _quoted(text: str) -> str:
    return _SAFE.sub(lambda match: "".join(f"%{byte:02X}" for byte in match[0].encode("utf-8", "surrogatepass")), text)


def _other(value: Any) -> str:
    if value is None or isinstance(value, bool):
        return f"%{value}"
    if isinstance(value, Enum):
        return part(value.value)
    if isinstance(value, UUID | Decimal | int | float | date | datetime | time | timedelta):
        return _quoted(str(value))
    if isinstance(value, str):
        return _quoted(str(value))
    try:
        text = orjson.dumps(value, default=_plain, option=orjson.OPT_SORT_KEYS | orjson.OPT_NON_STR_KEYS)
    except TypeError:
        what = f"A {type(value).__name__} cannot be part of a cache key."
        raise CacheKeyError(what, 'Name the arguments that matter: key="report:{organization}".') from None
    return "%" + hashlib.blake2b(text, digest_size=16).hexdigest()


def _plain(value: Any) -> Any:
    dump = getattr(value, "model_dump", None)
    if callable(dump):
        return dump(mode="json")
    if isinstance(value, set | frozenset):
        return sorted(map(part, value))
    if isinstance(value, Decimal | bytes | timedelta):
        return str(value)
    raise TypeError


def default_template(fn: Callable[..., Any]) -> str:
    """Return a template with the function's name and all of its arguments.

    :raises DeclarationError: when it cannot be told which of them matter.
    """
    parameters = inspect.signature(fn).parameters
    first = next(iter(parameters), "")
    name = f"{fn.__module__}.{fn.__qualname__}".replace("<locals>.", "")
    if first in ("self", "cls"):
        what = f"{name} is a method, and a key cannot tell one {first} from another."
        raise DeclarationError(what, f'Say what does: key="{fn.__name__}:{{{first}.id}}:…".')
    if any(one.kind in (one.VAR_POSITIONAL, one.VAR_KEYWORD) for one in parameters.values()):
        raise DeclarationError(f"{name} takes any arguments.", f'Say which matter: key="{fn.__name__}:…".')
    return ":".join([name.replace("{", "").replace("}", ""), *(f"{{{one}}}" for one in parameters)])


def compiled(template: str, fn: Callable[..., Any]) -> Builder:
    """Return what builds a key of a call's arguments: ``report:{organization}:{user.id}``.

    :raises DeclarationError: when the template names what the function does not have.
    """
    signature = inspect.signature(fn)
    names = list(signature.parameters)
    literal, fields = "", []
    try:
        pieces = list(string.Formatter().parse(template))
    except ValueError as error:
        raise DeclarationError(f"The cache key {template!r} cannot be read: {error}.", "Mend its braces.") from None
    for text, field, spec, conversion in pieces:
        literal += text.replace("%", "%%")
        if field is None:
            continue
        name, _, path = field.partition(".")
        if name not in names or spec or conversion or "[" in field:
            known = ", ".join(names) or "none"
            what = f"The cache key {template!r} asks for {field!r}, which {fn.__qualname__} does not have."
            raise DeclarationError(what, f"Its arguments: {known}; attributes as {{name.attribute}}.")
        literal += "%s"
        fields.append((names.index(name), name, attrgetter(path) if path else None))
    return _builder(literal, fields, signature)


def _builder(literal: str, fields: list[tuple[int, str, Any]], signature: inspect.Signature) -> Builder:
    if not fields:
        constant = literal % ()
        return lambda args, kwargs: constant
    most = max(index for index, _, _ in fields)
    names = {name for _, name, _ in fields}

    def bound(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> str:
        call = signature.bind(*args, **kwargs)
        call.apply_defaults()
        values = [(call.arguments[name], path) for _, name, path in fields]
        return literal % tuple([part(value if path is None else path(value)) for value, path in values])

    if len(fields) == 1 and fields[0][2] is None:
        index, name, _ = fields[0]

        def single(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> str:
            # What most functions are keyed by, without a list and a tuple.
            if len(args) > index:
                value = args[index]
            elif name in kwargs:
                value = kwargs[name]
            else:
                return bound(args, kwargs)
            return literal % (value if type(value) is int else part(value))

        return single

    def several(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> str:
        if len(args) > most:
            values = [args[index] if path is None else path(args[index]) for index, _, path in fields]
        elif not args and kwargs.keys() >= names:
            # As FastAPI calls endpoints.
            values = [kwargs[name] if path is None else path(kwargs[name]) for _, name, path in fields]
        else:
            return bound(args, kwargs)
        return literal % tuple([value if type(value) is int else part(value) for value in values])

    return several


@lru_cache(maxsize=4096)
def pattern_of(key: str) -> str:
    """Return what keys like this one have in common: ``report:*`` of ``report:4711``."""
    return ":".join("*" if _VARIES.search(piece) else piece for piece in key.split(":"))[:100]


def template_pattern(template: str) -> str:
    """Return the same of a template: ``report:*`` of ``report:{organization}``."""
    return re.sub(r"\{[^}]*\}", "*", template)[:100]


@lru_cache(maxsize=1024)
def matcher(pattern: str) -> Callable[[str], object]:
    """Return what tells whether a key matches a pattern, in which ``*`` stands for anything and ``?`` for a character.

    Everything else stands for itself, so that a key can be a pattern. It takes linear time whatever the pattern is.
    """
    import re2  # type: ignore[import-untyped]

    expression = "".join(".*" if sign == "*" else "." if sign == "?" else re2.escape(sign) for sign in pattern)
    matches: Callable[[str], object] = re2.compile(f"(?s){expression}").fullmatch
    return matches
