"""Forms made from the pydantic models of actions, and what they send turned back into values."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import BaseModel

__all__ = ["Field", "body_of", "fields_of"]

Kind = Literal["text", "secret", "integer", "number", "switch", "choice", "lines", "json", "long"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """One field of a form.

    :ivar hint: what it is for, and what is allowed. :ivar value: what stands in it. :ivar fault: why it was refused.
    """

    name: str
    title: str
    kind: Kind
    hint: str = ""
    required: bool = False
    choices: Sequence[str] = ()
    value: str = ""
    fault: str = ""


def fields_of(
    model: type[BaseModel] | None, given: Mapping[str, str] | None = None, faults: Mapping[str, str] | None = None
) -> list[Field]:
    """Return the fields of a model, with what was given before and why it was refused."""
    if model is None:
        return []
    schema = model.model_json_schema()
    required = set(schema.get("required", ()))
    return [
        _field(name, _resolved(one, schema), name in required, given, faults or {})
        for name, one in schema.get("properties", {}).items()
    ]


def body_of(model: type[BaseModel] | None, given: Mapping[str, str]) -> dict[str, object]:
    """Return what a form sent as the body of an action; empty fields that may be left out are left out.

    :raises ValueError: when a field that takes JSON holds none; its argument is the field's name.
    """
    body: dict[str, object] = {}
    for field in fields_of(model):
        text = given.get(field.name, "")
        match field.kind:
            case "switch":
                body[field.name] = text in ("1", "true", "on")
            case "lines":
                lines = [line.strip() for line in text.splitlines() if line.strip()]
                if lines or field.required:
                    body[field.name] = lines
            case "json" if text.strip():
                try:
                    body[field.name] = json.loads(text)
                except json.JSONDecodeError as error:
                    raise ValueError(field.name) from error
            case _ if text or field.required:
                body[field.name] = text
    return body


def _field(
    name: str,
    schema: Mapping[str, Any],
    required: bool,
    given: Mapping[str, str] | None,
    faults: Mapping[str, str],
) -> Field:
    kind = _kind(schema)
    default = schema.get("default")
    value = given.get(name, "") if given is not None else _written(default, kind)
    return Field(
        name=name,
        title=str(schema.get("title", name)).replace("_", " ").capitalize(),
        kind=kind,
        hint=" ".join([str(schema.get("description", "")).replace("\n", " "), *_bounds(schema)]).strip(),
        required=required and kind != "switch",
        choices=[str(one) for one in schema.get("enum", ())],
        value="" if kind == "secret" else value,
        fault=faults.get(name, ""),
    )


def _kind(schema: Mapping[str, Any]) -> Kind:
    if schema.get("enum"):
        return "choice"
    if schema.get("format") == "password" or schema.get("writeOnly"):
        return "secret"
    match schema.get("type"):
        case "boolean":
            return "switch"
        case "integer":
            return "integer"
        case "number":
            return "number"
        case "array" if _kind(schema.get("items", {})) in ("text", "long", "choice"):
            return "lines"
        case "array" | "object":
            return "json"
    return "long" if int(schema.get("maxLength", 0)) > 300 else "text"


def _resolved(schema: Mapping[str, Any], whole: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return a property's schema without references, and without the alternative of being null."""
    if "$ref" in schema:
        found = whole.get("$defs", {}).get(str(schema["$ref"]).rpartition("/")[2], {})
        return {**found, **{key: value for key, value in schema.items() if key != "$ref"}}
    for union in ("anyOf", "oneOf", "allOf"):
        real = [one for one in schema.get(union, ()) if one.get("type") != "null"]
        if real:
            first = _resolved(real[0], whole)
            return {**first, **{key: value for key, value in schema.items() if key != union}}
    return schema


def _bounds(schema: Mapping[str, Any]) -> Iterable[str]:
    signs = {"minimum": "at least", "exclusiveMinimum": "more than", "maximum": "at most", "exclusiveMaximum": "below"}
    said = [f"{words} {schema[key]:g}" for key, words in signs.items() if key in schema]
    if said:
        yield f"({', '.join(said)})"


def _written(value: object, kind: Kind) -> str:
    if value is None:
        return ""
    if kind == "switch":
        return "1" if value else ""
    if kind == "lines" and isinstance(value, list | tuple):
        return "\n".join(map(str, value))
    return json.dumps(value) if kind == "json" else f"{value:g}" if isinstance(value, float) else str(value)
