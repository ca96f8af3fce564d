"""The two addresses of a sign-in with an OpenID Connect provider."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

from starlette.responses import Response

from bedplate.console import responses
from bedplate.console.access.oidc import OidcError, actor_of
from bedplate.console.interfaces import Sources
from bedplate.console.page import Page
from bedplate.console.pages.sign_in import form, inside, note
from bedplate.console.visit import Visit
from bedplate.declarations import Actor
from bedplate.monitor.replies import ProblemError
from bedplate.problems import Problem

__all__ = ["pages"]

_COOKIE = "bedplate_oidc"


def pages(sources: Sources) -> Sequence[Page]:
    """Return the pages."""
    return (
        Page("/oidc/start", "oidc-start", _start, role=None),
        Page("/oidc/return", "oidc-return", _return, role=None),
    )


async def _start(visit: Visit) -> Response:
    """Send the browser to the provider."""
    _offered(visit)
    try:
        address, state = await visit.site.oidc.begin(visit.url(inside(visit.query("next", "/"))), _redirect(visit))
    except OidcError as error:
        return form(visit, fault=str(error), status=503)
    secure = "" if visit.site.is_development else "; Secure"
    # Lax, since the browser comes back from the provider's site; it proves that it left from here.
    kept = f"Path={visit.site.cookie_path(visit)}; HttpOnly; SameSite=Lax; Max-Age=600{secure}"
    cookie = f"{_COOKIE}={_digest(state)}; {kept}"
    return responses.redirect(address, {"Set-Cookie": cookie})


async def _return(visit: Visit) -> Response:
    """Take in who comes back from the provider."""
    _offered(visit)
    state, code = visit.query("state"), visit.query("code")
    left = visit.request.cookies.get(_COOKIE, "")
    if visit.query("error") or not code:
        note(visit, "oidc", "refused")
        return form(visit, fault=f"The provider refused: {visit.query('error', 'it gave no code')[:100]}", status=403)
    if not hmac.compare_digest(left.encode(), _digest(state).encode()):
        note(visit, "oidc", "refused")
        return form(visit, fault="This sign-in began in another browser. Begin again.", status=403)
    try:
        claims, go_on = await visit.site.oidc.finish(state, code)
        found = _known(visit, claims)
    except OidcError as error:
        note(visit, "oidc", "refused")
        return form(visit, fault=str(error), status=403)
    note(visit, "oidc", "accepted")
    visit.site.open(visit, found, "oidc")
    return responses.redirect(go_on, visit.headers)


def _known(visit: Visit, claims: Mapping[str, Any]) -> dict[str, Actor]:
    """Return whom each service that trusts this provider knows; it fails when this one knows nobody."""
    site, here = visit.site, visit.site.settings.oidc
    found: dict[str, Actor] = {}
    for name, member in site.access.members.items():
        there = member.settings.oidc
        if (there.issuer, there.client_id) == (here.issuer, here.client_id):
            with suppress(OidcError):
                found[name] = actor_of(claims, there)
    if not site.lets_in(found):
        actor_of(claims, here)
    return found


def _offered(visit: Visit) -> None:
    if not visit.site.settings.oidc.issuer:
        raise ProblemError(Problem(status=404, detail="There is no such sign-in here."))


def _redirect(visit: Visit) -> str:
    told = visit.site.settings.oidc.redirect_url
    url = visit.request.url
    return told or f"{url.scheme}://{url.netloc}{visit.base}/oidc/return"


def _digest(state: str) -> str:
    return hashlib.sha256(state.encode("utf-8", "replace")).hexdigest()
