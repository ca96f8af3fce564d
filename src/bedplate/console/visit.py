"""One look at the console: who looks, at what, and how the page is made."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlencode

from starlette.requests import Request
from starlette.responses import Response

from bedplate.console import responses
from bedplate.console.access.sessions import Session
from bedplate.declarations import AccessRole
from bedplate.monitor.auth.tokens import allows
from bedplate.monitor.replies import ProblemError
from bedplate.problems import Problem

if TYPE_CHECKING:
    from bedplate.console.site import Site

__all__ = ["LONGEST_QUERY", "MOST_QUERIES", "Visit", "address"]

_BODY_LIMIT = 65_536
#: Characters of an expression, and expressions of an address.
LONGEST_QUERY, MOST_QUERIES = 4_000, 8


def address(base: str, path: str, query: Mapping[str, Any]) -> str:
    """Return an address; parameters that are empty are left out, lists give one a value, ``#`` stays at the end."""
    path, _, place = path.partition("#")
    pairs = [
        (name, "1" if one is True else str(one))
        for name, value in query.items()
        if value not in (None, "", False, ())
        for one in (value if isinstance(value, list | tuple) else (value,))
    ]
    return f"{base}{path}" + (f"?{urlencode(pairs)}" if pairs else "") + (f"#{place}" if place else "")


class Visit:
    """A request to the console.

    :ivar base: the path of the console, ``/ledger/console``; links begin with it.
    :ivar session: who looks; None where nobody had to sign in.
    """

    def __init__(self, site: Site, request: Request) -> None:
        self.site = site
        self.request = request
        self.base = str(request.scope.get("root_path", "")).rstrip("/")
        self.session: Session | None = None
        self.now = site.clock.time()
        #: What HTTP says besides the page: cookies, mostly.
        self.headers: dict[str, str] = {}

    @property
    def root(self) -> str:
        """The path below which everything of the process is: the console's without its own part."""
        return self.base.removesuffix(self.site.mount)

    @property
    def here(self) -> str:
        """The present address below the console, to come back to."""
        path = str(self.request.scope["path"]).removeprefix(self.base) or "/"
        if self.request.method not in ("GET", "HEAD"):
            return "/"
        return f"{path}?{self.request.url.query}" if self.request.url.query else path

    @property
    def is_fragment(self) -> bool:
        """Whether a script asks for a part of a page."""
        return "hx-request" in self.request.headers

    def within(self, site: Site, session: Session) -> Visit:
        """Return the same look at another console of the process."""
        there = Visit(site, self.request)
        there.base, there.session = f"{self.root}{site.mount}", session
        return there

    def may(self, role: AccessRole) -> bool:
        """Tell whether whoever looks has a role."""
        return self.session is not None and allows(self.session.role, role)

    def url(self, path: str = "/", **query: Any) -> str:
        """Return the address of a page of the console; parameters that are empty are left out."""
        return address(self.base, path, query)

    def query(self, name: str, default: str = "", limit: int = 2_000) -> str:
        """Return a parameter of the address, cut to a sensible length."""
        return self.request.query_params.get(name, default).strip()[:limit]

    def queries(self, name: str) -> list[str]:
        """Return every value of a parameter that is not empty."""
        given = self.request.query_params.getlist(name)
        return [value.strip()[:LONGEST_QUERY] for value in given if value.strip()][:MOST_QUERIES]

    async def form(self) -> dict[str, str]:
        """Return the fields of the form that was sent; of several with one name, the last.

        :raises ProblemError: 413, 415, or 403 when it was not made for this session.
        """
        fields = await self.open_form()
        if self.session is None or not self.session.owns(fields.pop("form_token", "")):
            detail = "This form was not made for your session. Go back, reload the page, and send it again."
            raise ProblemError(Problem(status=403, detail=detail))
        return fields

    async def open_form(self) -> dict[str, str]:
        """Return the fields of a form that needs no session."""
        body = bytearray()
        async for chunk in self.request.stream():
            body += chunk
            if len(body) > _BODY_LIMIT:
                raise ProblemError(Problem(status=413, detail=f"A form may have {_BODY_LIMIT} bytes."))
        kind = self.request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if body and kind != "application/x-www-form-urlencoded":
            raise ProblemError(Problem(status=415, detail="Send a form: application/x-www-form-urlencoded."))
        pairs = parse_qsl(body.decode("utf-8", "replace"), keep_blank_values=True, max_num_fields=200)
        return dict(pairs)

    def note(self, text: str, tone: str = "good") -> None:
        """Have the next page say something."""
        if self.session is not None:
            self.session.notes.append((tone, text[:500]))

    def go(self, path: str, **query: Any) -> Response:
        """Return the answer that leads to another page."""
        return responses.redirect(self.url(path, **query), self.headers)

    def show(self, template: str, *, status: int = 200, **context: Any) -> Response:
        """Return a page made from a template."""
        text = self.site.render(self, template, context)
        return responses.html(self.request, text, status, self.headers)
