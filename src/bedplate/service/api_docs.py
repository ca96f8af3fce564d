"""What an application answers, as one page for people: from its OpenAPI document, without a script from elsewhere.

FastAPI's own pages load half a megabyte of script from a network of others, which a service that handles money may not
let run in its pages, and which is not there behind a firewall.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from html import escape
from typing import Any

from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import Response

from bedplate.service.pages import page

__all__ = ["api_docs"]

_STYLE = (
    "main{max-width:60rem;margin:5vh auto 4rem}h2{font-size:16px;margin:36px 0 10px}h3{font-size:15px;margin:0 0 6px;"
    "font-weight:600;overflow-wrap:anywhere}h4{font-size:13px;margin:14px 0 4px;color:var(--soft);font-weight:500}"
    "code,pre{font-family:ui-monospace,Menlo,'DejaVu Sans Mono',monospace;font-size:.92em}"
    "pre{margin:6px 0 0;padding:10px 12px;border:1px solid var(--line);border-radius:8px;overflow-x:auto}"
    "section.card{padding:14px 18px;margin:0 0 14px;scroll-margin-top:16px}section:target{border-color:var(--link)}"
    ".card p{margin:0 0 6px}.verb{display:inline-block;min-width:4.6em;font-size:12px;letter-spacing:.03em;"
    "color:var(--soft)}td,th{vertical-align:top;padding:6px 14px 6px 0;font-weight:400;overflow-wrap:anywhere}"
    "td:first-child{width:26%}.index td:first-child{width:1%}.index td:nth-child(2){width:44%}"
    ".scroll{overflow-x:auto}small{color:var(--soft);font-size:12.5px}"
)
_LIMITS = (
    ("minimum", "≥ {}"), ("exclusiveMinimum", "> {}"), ("maximum", "≤ {}"), ("exclusiveMaximum", "< {}"),
    ("minLength", "from {} characters"), ("maxLength", "up to {} characters"), ("minItems", "from {} items"),
    ("maxItems", "up to {} items"), ("pattern", "like {}"),
)  # fmt: skip
_CODE = re.compile(r"`{1,2}([^`]+)`{1,2}")
_METHODS = ("get", "head", "post", "put", "patch", "delete", "options")


def api_docs(app: FastAPI, path: str = "/docs") -> None:
    """Serve a page of what an application answers; make that without pages of its own: ``FastAPI(docs_url=None)``."""

    async def docs(request: Request) -> Response:
        headers, body = page(f"{app.title} {app.version}", _body(app, request.scope.get("root_path", "")), style=_STYLE)
        return Response(body, headers={name.decode(): value.decode() for name, value in headers})

    app.add_route(path, docs, include_in_schema=False)
    #: Where others look for the page, to link to it.
    app.docs_url = path


def _body(app: FastAPI, root: str) -> str:
    document = app.openapi()
    operations = [
        (method, path, operation)
        for path, methods in document.get("paths", {}).items()
        for method, operation in methods.items()
        if method in _METHODS
    ]
    schemas = document.get("components", {}).get("schemas", {})
    parts = [_text(app.summary or ""), _text(app.description)]
    place = f'<a href="{escape(root)}{escape(app.openapi_url)}">OpenAPI</a>' if app.openapi_url else ""
    parts.append(f"<p>For programs: {place}.</p>" if place else "")
    rows = "".join(
        f'<tr><td><span class="verb">{method.upper()}</span></td>'
        f'<td><a href="#{_anchor(method, path)}"><code>{escape(path)}</code></a></td>'
        f"<td>{_inline(_first(operation))}</td></tr>"
        for method, path, operation in operations
    )
    parts.append(f'<div class="card scroll"><table class="index">{rows}</table></div>')
    parts.append("<h2>What it answers</h2>")
    parts += [_operation(method, path, operation, root) for method, path, operation in operations]
    if schemas:
        parts.append("<h2>What is sent and answered</h2>")
        parts += [_schema(name, schema) for name, schema in schemas.items()]
    return "".join(parts)


def _operation(method: str, path: str, operation: Mapping[str, Any], root: str) -> str:
    parts = [
        f'<section class="card" id="{_anchor(method, path)}">',
        f'<h3><span class="verb">{method.upper()}</span> <code>{escape(path)}</code></h3>',
        _text(operation.get("description") or operation.get("summary", "")),
    ]
    if parameters := operation.get("parameters"):
        rows = "".join(
            _row(one["name"], one.get("schema", {}), one.get("description", ""), f"{one['in']}{_needed(one)}")
            for one in parameters
        )
        parts.append(f'<h4>Parameters</h4><div class="scroll"><table>{rows}</table></div>')
    body = operation.get("requestBody", {})
    for kind, content in body.get("content", {}).items():
        parts.append(f"<h4>Body, <code>{escape(kind)}</code></h4><p>{_type(content.get('schema', {}))}</p>")
    parts.append("<h4>Answers</h4><p>")
    parts.append("<br>".join(_answer(status, one) for status, one in operation.get("responses", {}).items()))
    parts.append(f"</p><pre>{escape(_curl(method, f'{root}{path}', body))}</pre></section>")
    return "".join(parts)


def _answer(status: str, answer: Mapping[str, Any]) -> str:
    kinds = [_type(content["schema"]) for content in answer.get("content", {}).values() if content.get("schema")]
    said = _inline(str(answer.get("description", "")))
    return f"<code>{escape(status)}</code> {said}{': ' if kinds else ''}{', '.join(kinds)}"


def _curl(method: str, path: str, body: Mapping[str, Any]) -> str:
    words = [
        "curl",
        *(() if method in ("get", "post") and bool(body) == (method == "post") else ("-X", method.upper())),
    ]
    words.append(f'"$SERVICE{path}"')
    content = body.get("content", {})
    if "application/json" in content:
        words.append("--json @body.json")
    elif content:
        words.append(f"-H 'Content-Type: {next(iter(content))}' --data-binary @body")
    return " ".join(words)


def _schema(name: str, schema: Mapping[str, Any]) -> str:
    needed = schema.get("required", ())
    fields = schema.get("properties", {})
    rows = "".join(
        _row(field, one, one.get("description", ""), "" if field in needed else "optional")
        for field, one in fields.items()
    )
    inside = f'<div class="scroll"><table>{rows}</table></div>' if rows else f"<p>{_type(schema)}</p>"
    return (
        f'<section class="card" id="schema-{escape(name)}"><h3>{escape(name)}</h3>'
        f"{_text(schema.get('description', ''))}{inside}</section>"
    )


def _row(name: str, schema: Mapping[str, Any], about: str, more: str) -> str:
    notes = [form.format(schema[key]) for key, form in _LIMITS if key in schema]
    if "default" in schema and schema["default"] is not None:
        notes.append(f"by default {json.dumps(schema['default'], ensure_ascii=False)}")
    said = " · ".join(escape(one) for one in (more, *notes) if one)
    return (
        f"<tr><td><code>{escape(name)}</code></td><td>{_type(schema)}{'<br>' if said else ''}<small>{said}</small></td>"
        f"<td>{_inline(about)}</td></tr>"
    )


def _type(schema: Mapping[str, Any]) -> str:
    """Return what kind of value it is, as HTML; what has a name leads to it."""
    if reference := schema.get("$ref"):
        name = escape(str(reference).rpartition("/")[2])
        return f'<a href="#schema-{name}">{name}</a>'
    for key in ("anyOf", "oneOf", "allOf"):
        if several := schema.get(key):
            return " or ".join(dict.fromkeys(_type(one) for one in several))
    if "enum" in schema or "const" in schema:
        values = schema.get("enum", [schema.get("const")])
        return ", ".join(f"<code>{escape(str(value))}</code>" for value in values)
    kind = schema.get("type", "anything")
    if kind == "array":
        return f"list of {_type(schema.get('items', {}))}"
    if kind == "object" and isinstance(schema.get("additionalProperties"), Mapping):
        return f"object of {_type(schema['additionalProperties'])}"
    return escape(f"{kind}, {schema['format']}" if "format" in schema else str(kind))


def _needed(parameter: Mapping[str, Any]) -> str:
    return "" if parameter.get("required") else ", optional"


def _first(operation: Mapping[str, Any]) -> str:
    said = str(operation.get("description") or operation.get("summary", ""))
    return next(iter(said.strip().splitlines()), "")


def _text(text: str) -> str:
    return "".join(f"<p>{_inline(' '.join(part.split()))}</p>" for part in _paragraphs(text))


def _paragraphs(text: str) -> Iterator[str]:
    yield from (part for part in re.split(r"\n\s*\n", text.strip()) if part)


def _inline(text: str) -> str:
    return _CODE.sub(r"<code>\1</code>", escape(text, quote=False))


def _anchor(method: str, path: str) -> str:
    return f"{method}-{re.sub(r'[^a-z0-9]+', '-', path.lower()).strip('-')}"
