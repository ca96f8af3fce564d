"""What a settings model declares, one :class:`Declared` a value: names, type, default, doc.

Reading, fault messages, masking, reloading and the reference docs all go by this list.
"""

from __future__ import annotations

import json
import types
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum
from functools import lru_cache
from inspect import get_annotations
from pathlib import PurePath
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin
from urllib.parse import unquote

from pydantic import BaseModel, SecretBytes, SecretStr
from pydantic.fields import FieldInfo

from bedplate.settings.attribute_docs import doc_of
from bedplate.settings.markers import Env, Reloadable
from bedplate.settings.secret import MASK, Dsn, looks_secret, mask_text

__all__ = ["PREFIX", "Declared", "SettingPath", "declared", "decode", "describe", "key_values"]

#: The prefix of Bedplate's own variables.
PREFIX = "BEDPLATE_"

SettingPath = tuple[str, ...]
M = TypeVar("M")

_SEQUENCES = (list, tuple, set, frozenset, Sequence)
_MAPPINGS = (dict, Mapping)


_NAMES: dict[type, str] = {
    Dsn: "URL",
    SecretStr: "secret",
    bool: "true | false",
    int: "integer",
    float: "number",
    PurePath: "path",
    str: "text",
}


@dataclass(frozen=True, slots=True)
class Declared:
    """One setting as declared.

    :ivar path: the names of the section and of the field, ``("logs", "level")``.
    :ivar env: every variable that sets it, the strongest first.
    :ivar variable: the variable to name to people: the standard one where there is one.
    :ivar table: the keys that lead to it in ``bedplate.toml``.
    :ivar expects: what a value looks like, ``integer, ≥ 1``.
    :ivar default: what it is when nothing sets it, for people; empty when it is required.
    """

    path: SettingPath
    env: tuple[str, ...]
    variable: str
    table: SettingPath
    expects: str
    default: str
    required: bool
    reloadable: bool
    secret: bool
    model: type[BaseModel] = field(repr=False, compare=False)
    field: FieldInfo = field(repr=False, compare=False)

    @property
    def name(self) -> str:
        """The path with dots, ``logs.level``."""
        return ".".join(self.path)

    @property
    def doc(self) -> str:
        """What it is for; its source is read when somebody asks."""
        return doc_of(self.model, self.path[-1])

    @property
    def discreet(self) -> bool:
        """Whether the value must not be shown: a secret by type, or by its name."""
        return self.secret or looks_secret(self.path[-1])

    def marker(self, kind: type[M]) -> M | None:
        """Return the annotation's marker of this kind."""
        return next((item for item in self.field.metadata if isinstance(item, kind)), None)

    def show(self, value: object) -> str:
        """Return the value for people, masked where it must be."""
        if value is None or isinstance(value, (SecretStr, SecretBytes)):
            return "none" if value is None else str(value)
        # That a secret is not set is no secret.
        empty = isinstance(value, (str, Mapping, list, tuple, set, frozenset)) and not value
        return MASK if self.discreet and not empty else mask_text(_plain(value))


def declared(model: type[BaseModel], path: SettingPath = ()) -> tuple[Declared, ...]:
    """Return every setting of a model in its declared order; models inside models are walked into.

    A model inside a settings class is read under the prefix of the field that holds it.
    """
    return _declared(model, path)


@lru_cache(maxsize=1024)
def _declared(model: type[BaseModel], path: SettingPath) -> tuple[Declared, ...]:
    # Every service of a process, and every start in a test, asks for the same few models.
    return tuple(_walk(model, path, None, PREFIX if path else None))


def _walk(
    model: type[BaseModel], path: SettingPath, preset: BaseModel | None, prefix: str | None
) -> Iterator[Declared]:
    """Yield the settings of a model.

    :param preset: the instance whose values are the defaults, when they are not the model's own.
    :param prefix: of its variables; None when each field has that of the class that declares it.
    """
    for name, info in model.model_fields.items():
        here = (*path, name)
        default = getattr(preset, name) if preset is not None else _default(info)
        own = _prefix(model, name) if prefix is None else prefix
        nested = _nested(info.annotation)
        if nested is not None:
            yield from _walk(nested, here, default if isinstance(default, BaseModel) else None, own)
        else:
            yield _declare(model, here, info, default, own)


def describe(model: type[BaseModel], sections: Mapping[str, type[BaseModel]] | None = None) -> list[Declared]:
    """Return every setting of a settings class, and of the sections by name, for reference docs and the CLI."""
    result = list(declared(model))
    for name, section in (sections or {}).items():
        result.extend(declared(section, tuple(name.split("."))))
    return result


def _declare(model: type[BaseModel], path: SettingPath, info: FieldInfo, default: object, prefix: str) -> Declared:
    own = prefix + "__".join(path).upper()
    standard = next((item.names for item in info.metadata if isinstance(item, Env)), ())
    extra = info.json_schema_extra
    reloadable = any(isinstance(item, Reloadable) or item is Reloadable for item in info.metadata)
    table = path if prefix in (PREFIX, "") else (prefix.rstrip("_").lower(), *path)
    result = Declared(
        path=path,
        env=(own, *(name for name in standard if name != own)),
        variable=standard[0] if standard else own,
        table=table,
        expects=_expected(info),
        default="",
        required=info.is_required(),
        reloadable=reloadable or (isinstance(extra, dict) and bool(extra.get("reload"))),
        secret=_holds_secret(info.annotation),
        field=info,
        model=model,
    )
    return result if result.required else replace(result, default=result.show(default))


def _default(info: FieldInfo) -> object:
    takes_data = bool(info.default_factory_takes_validated_data)
    return None if takes_data else info.get_default(call_default_factory=True)


def _prefix(model: type[BaseModel], name: str) -> str:
    """Return the prefix of the class that first declared the field, so that inheriting does not rename it."""
    for base in reversed(model.__mro__):
        if name in get_annotations(base) and issubclass(base, BaseModel):
            return str(base.model_config.get("env_prefix") or "") if "env_prefix" in base.model_config else PREFIX
    return PREFIX


def _members(annotation: Any) -> Iterator[Any]:
    """Yield the alternatives of a type, without ``Annotated``, ``Union`` and ``None``."""
    origin = get_origin(annotation)
    if origin is Annotated:
        yield from _members(get_args(annotation)[0])
    elif origin in (Union, types.UnionType):
        for member in get_args(annotation):
            yield from _members(member)
    elif annotation is not type(None):
        yield annotation


def _metadata(annotation: Any) -> Iterator[Any]:
    """Yield what is annotated inside of a type, such as the bounds in ``Annotated[int, Field(ge=1)] | None``."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        for item in arguments[1:]:
            yield from item.metadata if isinstance(item, FieldInfo) else (item,)
    elif origin in (Union, types.UnionType):
        for member in arguments:
            yield from _metadata(member)


def _nested(annotation: Any) -> type[BaseModel] | None:
    members = list(_members(annotation))
    if len(members) == 1 and isinstance(members[0], type) and issubclass(members[0], BaseModel):
        return members[0]
    return None


def _holds_secret(annotation: Any) -> bool:
    for member in _members(annotation):
        if isinstance(member, type) and issubclass(member, (SecretStr, SecretBytes)):
            return True
        if any(_holds_secret(inner) for inner in get_args(member) if not isinstance(inner, str)):
            return True
    return False


def _plain(value: object) -> str:
    """Return a value in the form in which a variable would give it."""
    if isinstance(value, Enum):
        value = value.value
    if value is None or isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, Mapping):
        items = [f"{key}={_plain(item)}" for key, item in value.items()]
    elif isinstance(value, (list, tuple, set, frozenset)):
        items = [_plain(item) for item in value]
        items = sorted(items) if isinstance(value, (set, frozenset)) else items
    else:
        return str(value) if value != "" else "empty"
    return ", ".join(items) or "empty"


def _expected(info: FieldInfo) -> str:
    names = [_name_of(member) for member in _members(info.annotation)]
    bounds: list[str] = []
    for item in (*info.metadata, *_metadata(info.annotation)):
        for attribute, sign in (("ge", "≥"), ("gt", ">"), ("le", "≤"), ("lt", "<")):
            bound = getattr(item, attribute, None)
            if bound is not None:
                bounds.append(f"{sign} {bound}")
    return ", ".join((" | ".join(names), *bounds))


def _name_of(member: Any) -> str:
    origin = get_origin(member)
    if origin is Literal:
        return " | ".join(str(value) for value in get_args(member))
    if origin in _MAPPINGS or member in _MAPPINGS:
        return "key=value, …"
    if origin in _SEQUENCES or member in _SEQUENCES:
        inner = get_args(member)[0] if get_args(member) else str
        return f"list of {' | '.join(_name_of(item) for item in _members(inner))}"
    if not isinstance(member, type):
        return str(member)
    if issubclass(member, Enum):
        return " | ".join(str(item.value) for item in member)
    return next((name for kind, name in _NAMES.items() if issubclass(member, kind)), member.__name__)


def decode(annotation: Any, text: str) -> Any:
    """Return what a variable's text says for a field of this type; pydantic converts scalars by itself.

    Sequences are JSON arrays or comma-separated, mappings are JSON objects or ``key=value,key=value``.

    :raises ValueError: when it begins like JSON and is none.
    """
    kinds = [get_origin(member) or member for member in _members(annotation)]
    if any(kind in _MAPPINGS for kind in kinds):
        return _json(text) if text.lstrip().startswith("{") else key_values(text)
    if any(kind in _SEQUENCES for kind in kinds):
        if text.lstrip().startswith("["):
            return _json(text)
        return [part.strip() for part in text.split(",") if part.strip()]
    return text


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise ValueError(f"begins like JSON but is none: {error.msg} at column {error.colno}") from None


def key_values(text: str) -> dict[str, str]:
    """Return the mapping of ``key=value,key=value`` with values percent-encoded, the form of the ``OTEL_`` variables.

    :raises ValueError: when a part has no ``=``.
    """
    result: dict[str, str] = {}
    for part in text.split(","):
        key, equals, value = part.partition("=")
        if not part.strip():
            continue
        if not equals or not key.strip():
            raise ValueError("is not of the form key=value,key=value")
        result[key.strip()] = unquote(value.strip())
    return result
