"""Answers of the console: pages that no cache keeps, and a policy that lets nothing else run or load."""

from __future__ import annotations

import gzip
from collections.abc import Mapping
from typing import Any

import orjson
from starlette.requests import Request
from starlette.responses import Response

from bedplate.console.assets import Asset

__all__ = ["POLICY", "data", "file", "html", "redirect"]

POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "connect-src 'self'",
        "img-src 'self' data:",
        "form-action 'self'",
        "base-uri 'none'",
        "frame-ancestors 'none'",
    )
)

_HEADERS: Mapping[str, str] = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": POLICY,
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}
#: Smaller answers gain nothing by being compressed.
_WORTH = 1_000


def html(request: Request, text: str, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """Return a page."""
    return _packed(request, text.encode("utf-8", "replace"), "text/html; charset=utf-8", status, headers)


def data(request: Request, document: Any, status: int = 200) -> Response:
    """Return JSON for the console's own scripts; NaN is null."""
    body = orjson.dumps(document, option=orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_NON_STR_KEYS, default=str)
    return _packed(request, body, "application/json", status, None)


def redirect(address: str, headers: Mapping[str, str] | None = None) -> Response:
    """Return the answer that sends the browser to another page of the console, by GET."""
    return Response(status_code=303, headers={**_HEADERS, "Location": address, **(headers or {})})


def file(request: Request, asset: Asset) -> Response:
    """Return a file that never changes under its address."""
    headers = {
        "Cache-Control": "public, max-age=31536000, immutable",
        "Content-Type": asset.media_type,
        "Cross-Origin-Resource-Policy": "same-origin",
        "Vary": "Accept-Encoding",
        "X-Content-Type-Options": "nosniff",
    }
    if not _takes_gzip(request):
        return Response(asset.body, headers=headers)
    return Response(asset.compressed, headers={**headers, "Content-Encoding": "gzip"})


def _packed(request: Request, body: bytes, media_type: str, status: int, headers: Mapping[str, str] | None) -> Response:
    packed = {**_HEADERS, "Content-Type": media_type, "Vary": "Accept-Encoding", **(headers or {})}
    if len(body) >= _WORTH and _takes_gzip(request):
        body, packed["Content-Encoding"] = gzip.compress(body, 5, mtime=0), "gzip"
    return Response(body, status, packed)


def _takes_gzip(request: Request) -> bool:
    for part in request.headers.get("accept-encoding", "").split(","):
        coding, _, quality = part.partition(";")
        if coding.strip() == "gzip":
            return quality.replace(" ", "") not in ("q=0", "q=0.0")
    return False
