"""Sign-in with a provider, against an issuer that runs here."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import uvicorn
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse
from joserfc import jwt
from joserfc.jwk import RSAKey

from bedplate.console.access.oidc import role_of
from bedplate.console.settings import OidcSettings
from tests.serving import free_port
from tests.unit.console.site import a_site

SECRET = "a-client-secret-of-some-length"


class Issuer:
    """A small OpenID Connect provider that does as it is told."""

    def __init__(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self.key = RSAKey.generate_key(2048, {"kid": "one"})
        self.claims: dict[str, Any] = {"email": "alice@example.org", "groups": ["staff", "sre"]}
        self.changed: dict[str, Any] = {}
        self.signed_by = self.key
        self.asked: list[dict[str, str]] = []
        self.nonce = ""
        self.app = FastAPI()

        @self.app.get("/.well-known/openid-configuration")
        async def metadata() -> dict[str, str]:
            return {
                "issuer": self.url,
                "authorization_endpoint": f"{self.url}/authorize",
                "token_endpoint": f"{self.url}/token",
                "jwks_uri": f"{self.url}/keys",
            }

        @self.app.get("/keys")
        async def keys() -> dict[str, Any]:
            return {"keys": [self.key.as_dict(private=False)]}

        @self.app.post("/token")
        async def token(request: Request) -> JSONResponse:
            fields = {name: values[0] for name, values in parse_qs((await request.body()).decode()).items()}
            self.asked.append(fields)
            if fields.get("code") != "good":
                return JSONResponse({"error": "invalid_grant"}, 400)
            claims = {
                "iss": self.url, "aud": "console", "sub": "17", "nonce": self.nonce,
                "iat": int(time.time()), "exp": int(time.time()) + 300, **self.claims, **self.changed,
            }  # fmt: skip
            signed = jwt.encode({"alg": "RS256", "kid": str(self.signed_by.kid)}, claims, self.signed_by)
            return JSONResponse({"access_token": "x", "token_type": "Bearer", "id_token": signed})


@pytest.fixture
async def issuer() -> AsyncIterator[Issuer]:
    made = Issuer(free_port())
    port = urlsplit(made.url).port
    assert port is not None
    server = uvicorn.Server(uvicorn.Config(made.app, port=port, log_config=None, lifespan="off"))
    server.capture_signals = contextlib.nullcontext  # type: ignore[method-assign, assignment]
    serving = asyncio.create_task(server.serve())
    while not server.started:
        await asyncio.sleep(0.01)
    yield made
    server.should_exit = True
    await serving


def oidc(issuer: Issuer, **values: Any) -> dict[str, Any]:
    given = {
        "issuer": issuer.url, "client_id": "console", "client_secret": SECRET, "operators": ("sre",), "viewers": ("*",),
    }  # fmt: skip
    return {"oidc": {**given, **values}}


async def leave(site: Any, issuer: Issuer, go_on: str = "/") -> str:
    """Go to the provider; return the state."""
    answer = await site.client.get("/console/oidc/start", params={"next": go_on})
    assert answer.status_code == 303, answer.text
    address = urlsplit(answer.headers["location"])
    query = {name: values[0] for name, values in parse_qs(address.query).items()}
    assert f"{address.scheme}://{address.netloc}" == issuer.url
    assert query["code_challenge_method"] == "S256" and query["redirect_uri"].endswith("/console/oidc/return")
    assert "SameSite=Lax" in answer.headers["set-cookie"] and "HttpOnly" in answer.headers["set-cookie"]
    issuer.nonce = query["nonce"]
    return query["state"]


async def test_somebody_signs_in_with_the_role_that_their_group_gives(issuer: Issuer) -> None:
    async with a_site(console=oidc(issuer)) as site:
        assert "/console/oidc/start" in (await site.client.get("/console/sign-in")).text
        state = await leave(site, issuer, "/errors")
        back = await site.client.get(f"/console/oidc/return?state={state}&code=good")
        assert back.status_code == 303 and back.headers["location"] == "/console/errors"
        page = await site.client.get("/console")
        assert "alice@example.org" in page.text and "operator" in page.text
        [asked] = issuer.asked
        assert len(asked["code_verifier"]) >= 43
        again = await site.client.get(f"/console/oidc/return?state={state}&code=good")
        assert again.status_code == 403, "a state is good once"


@pytest.mark.parametrize(
    "changed",
    [
        {"iss": "http://evil.example"},
        {"aud": "another"},
        {"nonce": "another"},
        {"exp": 1_000_000_000},
        {"email": "", "sub": ""},
    ],
    ids=["issuer", "audience", "nonce", "expired", "nameless"],
)
async def test_a_token_that_was_not_made_for_this_is_not_believed(issuer: Issuer, changed: dict[str, Any]) -> None:
    async with a_site(console=oidc(issuer)) as site:
        issuer.changed = changed
        state = await leave(site, issuer)
        back = await site.client.get(f"/console/oidc/return?state={state}&code=good")
        assert back.status_code == 403
        assert (await site.client.get("/console")).status_code == 303
        assert await site.value("bedplate_console_sign_ins_total", way="oidc", outcome="refused") == 1


async def test_a_token_that_somebody_else_signed_is_not_believed(issuer: Issuer) -> None:
    async with a_site(console=oidc(issuer)) as site:
        issuer.signed_by = RSAKey.generate_key(2048, {"kid": "one"})
        state = await leave(site, issuer)
        assert (await site.client.get(f"/console/oidc/return?state={state}&code=good")).status_code == 403


async def test_a_provider_may_change_its_keys(issuer: Issuer) -> None:
    async with a_site(console=oidc(issuer)) as site:
        state = await leave(site, issuer)
        assert (await site.client.get(f"/console/oidc/return?state={state}&code=good")).status_code == 303
        issuer.key = issuer.signed_by = RSAKey.generate_key(2048, {"kid": "two"})
        state = await leave(site, issuer)
        assert (await site.client.get(f"/console/oidc/return?state={state}&code=good")).status_code == 303


async def test_a_sign_in_ends_in_the_browser_in_which_it_began(issuer: Issuer) -> None:
    async with a_site(console=oidc(issuer)) as site:
        state = await leave(site, issuer)
        site.client.cookies.clear()
        back = await site.client.get(f"/console/oidc/return?state={state}&code=good")
        assert back.status_code == 403 and "another browser" in back.text
        assert issuer.asked == []


async def test_who_has_no_role_is_told_so(issuer: Issuer) -> None:
    async with a_site(console=oidc(issuer, viewers=())) as site:
        issuer.claims["groups"] = ["sales"]
        state = await leave(site, issuer)
        back = await site.client.get(f"/console/oidc/return?state={state}&code=good")
        assert back.status_code == 403 and "has no role here" in back.text


async def test_a_refusal_and_a_bad_code_are_told(issuer: Issuer) -> None:
    async with a_site(console=oidc(issuer)) as site:
        state = await leave(site, issuer)
        refused = await site.client.get(f"/console/oidc/return?state={state}&error=<b>denied")
        assert refused.status_code == 403 and "&lt;b&gt;denied" in refused.text
        bad = await site.client.get(f"/console/oidc/return?state={state}&code=bad")
        assert bad.status_code == 403
        assert SECRET not in bad.text


async def test_a_provider_that_is_away_leaves_the_other_ways_open() -> None:
    away = {"issuer": f"http://127.0.0.1:{free_port()}", "client_id": "c", "client_secret": SECRET, "viewers": ("*",)}
    async with a_site(console={"oidc": away}) as site:
        answer = await site.client.get("/console/oidc/start")
        assert answer.status_code == 503 and "cannot be reached" in answer.text and 'name="token"' in answer.text


def test_the_greatest_role_counts() -> None:
    settings = OidcSettings(viewers=("staff",), operators=("sre",), admins=("root",))
    assert [role_of(claim, settings) for claim in (["staff", "root"], ["sre"], "staff", ["x"], None)] == [
        "admin", "operator", "viewer", None, None,
    ]  # fmt: skip
