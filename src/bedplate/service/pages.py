"""The few pages that exist without the console: the index of a process, and what a browser is shown meanwhile."""

from __future__ import annotations

import base64
import hashlib
from html import escape

from starlette.types import Receive, Scope, Send

from bedplate.problems import Problem
from bedplate.service.asgi import send_problem, send_response

__all__ = ["page", "send_meanwhile", "wants_html"]

_STYLE = (
    ":root{color-scheme:light dark;--bg:#f9f9f8;--panel:#fff;--line:#e6e5e2;--text:#1b1a18;"
    "--soft:#53504b;--link:#3d37c4}"
    "@media(prefers-color-scheme:dark){:root{--bg:#101012;--panel:#17171a;--line:#28282d;--text:#ededf0;--soft:#b6b6be;"
    "--link:#aaa7ff}}"
    "body{margin:0;background:var(--bg);color:var(--text);font:14px/1.55 Inter,system-ui,sans-serif}"
    "main{max-width:44rem;margin:9vh auto 2rem;padding:0 20px}h1{font-size:21px;letter-spacing:-.015em;margin:0 0 8px}"
    "p{color:var(--soft);margin:0 0 12px}a{color:var(--link);text-decoration:none}a:hover{text-decoration:underline}"
    ".card{background:var(--panel);border:1px solid var(--line);border-radius:10px;padding:4px 18px}"
    "table{border-collapse:collapse;width:100%}td,th{text-align:left;padding:9px 16px 9px 0;font-weight:500}"
    "tr+tr>*{border-top:1px solid var(--line)}"
)
_UNSEEN = "Whether what you sent was done is not known. Look before you send it again."


def _policy(style: str) -> str:
    """Return the policy that lets the one style sheet in by its digest; nothing else runs or loads."""
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    return f"default-src 'none'; style-src 'sha256-{digest}'; frame-ancestors 'none'; base-uri 'none'"


def page(
    title: str, body: str, *, refresh: int | None = None, style: str = ""
) -> tuple[list[tuple[bytes, bytes]], bytes]:
    """Return the headers and the text of a page.

    :param title: as text. :param body: as HTML, escaped already. :param refresh: seconds until the browser asks again.
    :param style: rules besides those of all pages.
    """
    style = f"{_STYLE}{style}"
    again = f'<meta http-equiv="refresh" content="{refresh}">' if refresh is not None else ""
    text = (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">{again}<title>{escape(title)}</title>'
        f"<style>{style}</style></head><body><main><h1>{escape(title)}</h1>{body}</main></body></html>"
    )
    headers = [
        (b"content-type", b"text/html; charset=utf-8"),
        (b"content-security-policy", _policy(style).encode()),
        (b"cache-control", b"no-store"),
        (b"x-content-type-options", b"nosniff"),
    ]
    return headers, text.encode()


def wants_html(scope: Scope) -> bool:
    """Tell whether a person's browser asks for a page: it says so, and programs do not."""
    accepted = next((value for key, value in scope.get("headers", ()) if key == b"accept"), b"")
    return scope["type"] == "http" and b"text/html" in accepted


async def send_meanwhile(scope: Scope, receive: Receive, send: Send, problem: Problem) -> None:
    """Answer with a problem that ends by itself; a browser gets a page that asks again, without a script."""
    if not wants_html(scope):
        await send_problem(scope, receive, send, problem)
        return
    reads = scope["method"] in ("GET", "HEAD")
    wait = int(problem.headers.get("Retry-After", "2"))
    told = f"This page asks again every {wait} s, by itself." if reads else _UNSEEN
    headers, body = page("One moment", f"<p>{escape(problem.detail)}</p><p>{told}</p>", refresh=wait if reads else None)
    headers += [(name.lower().encode(), value.encode()) for name, value in problem.headers.items()]
    await send_response(scope, send, problem.status, headers, body)
