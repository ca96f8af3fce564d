"""Values as JSON and back, by type: what comes back equals what went in, or it is not cached at all.

A type that says what it is (``Report``, ``list[Decimal]``, ``tuple[date, int]``) goes through pydantic, which knows how
to bring Decimal, datetime, UUID, Enum, set, tuple, dataclasses and models back. Without a type there is plain JSON by
orjson, and whatever JSON would change is refused.
"""

from __future__ import annotations

import dataclasses
import enum
import types
import typing
import uuid
from collections.abc import Callable
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any, Literal, get_args, get_origin

import orjson

from bedplate.problems import DeclarationError
from bedplate.state.cache.errors import CacheTypeError

__all__ = ["JSON", "Codec", "codec_of", "is_immutable"]

#: Types of which one object may be given to many callers.
_VALUES = (str, int, float, bool, bytes, complex, type(None), Decimal, datetime, date, time, timedelta, uuid.UUID)
_JSON = frozenset((Any, object, dict, list, type(None)))
#: Bytes up to which every value is brought back once to compare it; of larger ones the first alone.
_COMPARED = 16_384


class Codec:
    """How values of one type are written and read.

    :ivar shared: whether one object may be given to all who ask, because nobody can change it.
    """

    __slots__ = ("_compared", "_dump", "decode", "name", "shared")

    def __init__(
        self, name: str, dump: Callable[[Any], bytes], load: Callable[[bytes], Any], *, shared: bool, plain: bool
    ) -> None:
        self.name = name
        self.shared = shared
        self._dump = dump
        #: Returns the value of the text; raises ValueError for a text that is none of this type.
        self.decode = load
        # What has no type is compared always.
        self._compared = -1 if plain else 0

    def encode(self, value: Any) -> bytes:
        """Return the value as text.

        :raises CacheTypeError: when it would not come back as it is.
        """
        try:
            text = self._dump(value)
        except (TypeError, ValueError) as error:
            raise self._refusal(value, str(error)) from error
        if self._compared < 1 or len(text) <= _COMPARED:
            try:
                again = self.decode(text)
            except ValueError as error:
                raise self._refusal(value, str(error)) from error
            # Compared by type, too: True equals 1, and a tuple in a list of no type becomes a list.
            if type(again) is not type(value) or again != value:
                raise self._refusal(value, f"it comes back as {type(again).__name__}")
            if not self._compared:
                self._compared = 1
        return text

    def _refusal(self, value: Any, why: str) -> CacheTypeError:
        what = f"A {type(value).__name__} cannot be cached as {self.name}: {why.splitlines()[0][:200]}."
        return CacheTypeError(what, "Give the type that it has: a return annotation, or type=….")


def _json_dump(value: Any) -> bytes:
    return orjson.dumps(value, option=_STRICT)


_STRICT = orjson.OPT_PASSTHROUGH_DATACLASS | orjson.OPT_PASSTHROUGH_DATETIME | orjson.OPT_PASSTHROUGH_SUBCLASS

#: For values without a type: None, bool, numbers, text, lists, and dictionaries with text as keys.
JSON = Codec("plain JSON", _json_dump, orjson.loads, shared=False, plain=True)


def codec_of(kind: Any, *, share: bool | None = None, names: dict[str, Any] | None = None) -> Codec:
    """Return the codec of a type.

    :param share: give one object to all callers although it could be changed; None for what the type allows.
    :param names: where names in the type are looked up that its own module does not have.
    :raises DeclarationError: when there is none for such a type.
    """
    if _is_json(kind):
        return JSON if not share else Codec(JSON.name, _json_dump, orjson.loads, shared=True, plain=True)
    from pydantic import PydanticSchemaGenerationError, PydanticUserError, TypeAdapter

    name = getattr(kind, "__name__", str(kind)) if get_origin(kind) is None else str(kind)
    try:
        adapter: TypeAdapter[Any] = TypeAdapter(kind)
        if not adapter.pydantic_complete:
            adapter.rebuild(_types_namespace=names, raise_errors=False)
    except (PydanticSchemaGenerationError, PydanticUserError, NameError) as error:
        mend = "Return data (a dataclass, a model, standard types), or cache what it is made of."
        raise DeclarationError(f"Values of {name} cannot be cached: {str(error).splitlines()[0]}.", mend) from error

    def dump(value: Any) -> bytes:
        try:
            # Without `error` a value of another type is written with a warning, and comes back as something else.
            return adapter.dump_json(value, warnings="error", exclude_computed_fields=True)
        except PydanticUserError as error:
            raise TypeError(f"a name in it is not known: {error}") from error

    def load(text: bytes) -> Any:
        try:
            return adapter.validate_json(text)
        except PydanticUserError as error:
            raise ValueError(f"a name in it is not known: {error}") from error

    shared = is_immutable(kind) if share is None else share
    return Codec(name, dump, load, shared=shared, plain=False)


def _is_json(kind: Any) -> bool:
    if kind in _JSON:
        return True
    # dict[str, Any] promises nothing about what is in it; list[dict[str, Any]] neither.
    origin, args = get_origin(kind), get_args(kind)
    return origin in (dict, list) and all(arg is str or _is_json(arg) for arg in args) and Any in _flat(kind)


def _flat(kind: Any) -> list[Any]:
    return [kind] if not get_args(kind) else [leaf for arg in get_args(kind) for leaf in _flat(arg)]


def is_immutable(kind: Any, _within: tuple[Any, ...] = ()) -> bool:
    """Return whether nobody can change a value of this type, nor what is in it."""
    if kind in _VALUES or kind is None or kind in _within:
        return True
    origin, args = get_origin(kind), get_args(kind)
    within = (*_within, kind)
    if origin is Literal:
        return True
    if origin is typing.Annotated:
        return is_immutable(args[0], within)
    if origin in (typing.Union, types.UnionType) or origin in (tuple, frozenset):
        return all(arg is Ellipsis or is_immutable(arg, within) for arg in args)
    if not isinstance(kind, type):
        return False
    if issubclass(kind, enum.Enum):
        return True
    return _is_frozen(kind) and all(is_immutable(field, within) for field in _fields(kind))


def _is_frozen(kind: type) -> bool:
    if dataclasses.is_dataclass(kind):
        return bool(kind.__dataclass_params__.frozen)  # type: ignore[attr-defined]
    if issubclass(kind, tuple) and hasattr(kind, "_fields"):
        return True
    return bool(getattr(kind, "model_config", {}).get("frozen", False))


def _fields(kind: type) -> list[Any]:
    try:
        hints = typing.get_type_hints(kind)
    except (NameError, TypeError):
        return [object]  # unknown, so perhaps something that can be changed
    fields = getattr(kind, "model_fields", None)
    if fields is not None:
        return [hints.get(name, object) for name in fields]
    return [hint for hint in hints.values() if get_origin(hint) is not typing.ClassVar]
