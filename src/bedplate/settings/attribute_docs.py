"""The strings below the fields of a model, which say what each is for.

pydantic reads them when a class is made, from the source, which takes longer than everything else about the class; and
most processes never show one. So they are read when somebody asks.
"""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Iterator, Mapping
from functools import lru_cache
from itertools import pairwise

from pydantic import BaseModel, GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

__all__ = ["doc_of", "schema_of"]


def doc_of(model: type[BaseModel], name: str) -> str:
    """Return what a field is for, in one line: its ``description``, or else the string below it; empty without both."""
    info = model.model_fields.get(name)
    if info is not None and info.description:
        return _one_line(info.description)
    return next((found for base in model.__mro__ if (found := _below(base).get(name))), "")


def schema_of(model: type[BaseModel], core: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
    """Return a model's JSON schema with what its fields are for, as its ``__get_pydantic_json_schema__`` does."""
    schema = handler(core)
    properties = handler.resolve_ref_schema(schema).get("properties", {})
    for name, info in model.model_fields.items():
        known = properties.get(info.alias or name)
        if known is not None and (doc := doc_of(model, name)):
            known.setdefault("description", doc)
    return schema


@lru_cache(maxsize=1024)
def _below(model: type) -> Mapping[str, str]:
    """Return the strings below the fields of a class itself, by field; none where its source cannot be read."""
    if model is BaseModel or not issubclass(model, BaseModel):
        return {}
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(model)))
    except (OSError, TypeError, SyntaxError):  # made at a prompt, or with exec
        return {}
    return dict(_documented(tree.body[0])) if tree.body else {}


def _documented(node: ast.stmt) -> Iterator[tuple[str, str]]:
    for field, below in pairwise(getattr(node, "body", ())):
        match field, below:
            case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(value=ast.Constant(value=str(text))):
                yield name, _one_line(text)


def _one_line(text: str) -> str:
    return " ".join(text.split())
