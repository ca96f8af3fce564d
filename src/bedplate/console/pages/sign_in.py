"""Signing in and out, and the choice of light or dark."""

from __future__ import annotations

from collections.abc import Sequence

from starlette.responses import Response

from bedplate.console.interfaces import Sources
from bedplate.console.page import Page
from bedplate.console.visit import Visit
from bedplate.declarations import Actor
from bedplate.monitor.auth.origin import is_local
from bedplate.monitor.auth.throttle import client_key
from bedplate.monitor.auth.tokens import proof_of
from bedplate.monitor.replies import ProblemError
from bedplate.problems import Problem

__all__ = ["LOCAL", "form", "inside", "note", "pages"]

#: Who comes by a one-time link: whoever can read the terminal of a development service.
LOCAL = Actor("development", "admin")


def pages(sources: Sources) -> Sequence[Page]:
    """Return the pages."""
    return (
        Page("/sign-in", "sign-in", _ask, role=None),
        Page("/sign-in", "sign-in", _by_token, role=None, methods=("POST",)),
        Page("/enter", "enter", _by_link, role=None),
        Page("/link", "link", _new_link, role=None, methods=("POST",)),
        Page("/sign-out", "sign-out", _sign_out, role="viewer", methods=("POST",)),
        Page("/theme", "theme", _theme, role="viewer", methods=("POST",)),
    )


def inside(path: str) -> str:
    """Return where to go on within the console; ``/`` for whatever would lead elsewhere."""
    safe = path.startswith("/") and not path.startswith(("//", "/\\")) and path.isprintable()
    return path if safe else "/"


async def _ask(visit: Visit) -> Response:
    """Ask who looks."""
    if visit.session is not None:
        return visit.go(inside(visit.query("next", "/")))
    return form(visit)


def form(visit: Visit, *, fault: str = "", status: int = 200, told: bool = False, next_: str = "") -> Response:
    """Return the page that asks who looks."""
    site = visit.site
    return visit.show(
        "sign_in.html",
        status=status,
        fault=fault,
        told=told,
        next=next_ or inside(visit.query("next", "/")),
        by_link=site.is_development,
        by_oidc=bool(site.settings.oidc.issuer),
        has_tokens=bool(len(site.auth.settings.tokens)) or not site.is_development,
    )


async def _by_token(visit: Visit) -> Response:
    """Sign in by a token, the same that programs carry."""
    fields = await visit.open_form()
    token, next_ = fields.get("token", "").strip(), inside(fields.get("next", "/"))
    if not token:
        return form(visit, fault="Give your token.", status=422, next_=next_)
    scope = {
        "type": "http",
        "method": "GET",
        "path": visit.request.scope["path"],
        "client": visit.request.scope.get("client"),
        "headers": [(b"authorization", b"Bearer " + token.encode("utf-8", "replace"))],
    }
    site = visit.site
    identity, found = site.auth.identify(scope), site.access.known(token)
    # What tells of all services lets in whom any of them knows; who guesses is held up here all the same.
    if isinstance(identity, Problem) and (identity.status == 429 or not site.lets_in(found)):
        note(visit, "token", "throttled" if identity.status == 429 else "refused")
        visit.headers |= {name: value for name, value in identity.headers.items() if name == "Retry-After"}
        return form(visit, fault=identity.detail, status=identity.status, next_=next_)
    if not site.lets_in(found):
        note(visit, "token", "refused")
        return form(visit, fault="This token is a scraper's: it does not open the console.", status=403, next_=next_)
    note(visit, "token", "accepted")
    site.open(visit, found, "token", lambda name: site.access.members[name].auth.watch(token), proof_of(token))
    return visit.go(next_)


async def _by_link(visit: Visit) -> Response:
    """Exchange a one-time link for a session."""
    site = visit.site
    if visit.request.method != "GET" or not site.is_development:
        raise ProblemError(Problem(status=404, detail="There are no links here; sign in with a token."))
    client = client_key((visit.request.scope.get("client") or ("unknown",))[0])
    access = site.access
    wait = access.throttle.wait(client, site.clock.monotonic())
    if wait:
        note(visit, "link", "throttled")
        visit.headers["Retry-After"] = str(int(wait) + 1)
        return form(visit, fault="Too many links that are not good. Wait a minute.", status=429)
    if not access.links.take(visit.request.query_params.get("key", "")):
        access.throttle.fail(client, site.clock.monotonic())
        note(visit, "link", "refused")
        if visit.session is not None:
            return visit.go("/")
        return form(visit, fault="This link has been used, or is too old. Ask for a new one.", status=401)
    note(visit, "link", "accepted")
    members = access.members.items()
    site.open(visit, {name: LOCAL for name, member in members if member.environment == "development"}, "link")
    return visit.go("/")


async def _new_link(visit: Visit) -> Response:
    """Print a new one-time link in the terminal; only somebody at the machine may ask for it."""
    site = visit.site
    if not site.is_development or not is_local(visit.request.scope):
        raise ProblemError(Problem(status=404, detail="There are no links here; sign in with a token."))
    fields = await visit.open_form()
    client = "link"
    if site.access.link_throttle.wait(client, site.clock.monotonic()):
        return form(visit, fault="A link was printed a moment ago. Look at the terminal.", status=429)
    site.access.link_throttle.fail(client, site.clock.monotonic())
    site.new_link()
    return form(visit, told=True, next_=inside(fields.get("next", "/")))


async def _sign_out(visit: Visit) -> Response:
    """End the session."""
    await visit.form()
    visit.site.close(visit)
    return visit.go("/sign-in")


async def _theme(visit: Visit) -> Response:
    """Remember whether somebody wants light, dark, or what their system says."""
    from bedplate.console.site import THEMES

    fields = await visit.form()
    theme = fields.get("theme", "auto")
    if theme in THEMES:
        path = visit.site.cookie_path(visit)
        visit.headers["Set-Cookie"] = f"bedplate_theme={theme}; Path={path}; Max-Age=31536000; SameSite=Strict"
    return visit.go(inside(fields.get("next", "/")))


def note(visit: Visit, way: str, outcome: str) -> None:
    """Count an attempt to sign in, and log one that failed."""
    visit.site.count_sign_in(way, outcome)
    if outcome != "accepted" and visit.site.log is not None:
        client = (visit.request.scope.get("client") or ("",))[0]
        visit.site.log.warning("console_sign_in_refused", way=way, outcome=outcome, client=client)
