from __future__ import annotations

from typing import Any

import pytest
from fastapi import Depends, FastAPI
from starlette.testclient import TestClient, WebSocketDenialResponse

from bedplate.monitor.auth import Authenticator, AuthSettings, Identity
from bedplate.monitor.auth.authenticator import ATTEMPTS
from bedplate.problems import Problem
from tests.unit.monitor.monitor_fakes import DrivenClock, FakeHost, client, running

VIEWER, OPERATOR, SCRAPER = "viewer-token-123456", "operator-token-1234", "scraper-token-12345"
TOKENS = f"vera:viewer:{VIEWER}, otto:operator:{OPERATOR}, prometheus:metrics:{SCRAPER}"


def authenticator(environment: Any = "production", **settings: Any) -> Authenticator:
    clock = DrivenClock()
    return Authenticator(AuthSettings(**{"tokens": TOKENS, **settings}), environment=environment, clock=clock)


def scope(token: str | None = None, *, peer: Any = ("203.0.113.9", 1), method: str = "GET", **headers: str) -> Any:
    raw = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    if token is not None:
        raw.append((b"authorization", f"Bearer {token}".encode()))
    raw.append((b"host", headers.pop("host", "ledger.example").encode()))
    return {"type": "http", "method": method, "path": "/x", "headers": raw, "client": peer}


def status(outcome: Identity | Problem) -> int:
    return outcome.status if isinstance(outcome, Problem) else 200


@pytest.mark.parametrize(
    ("token", "needed", "expected"),
    [
        (None, "metrics", 401),
        ("wrong", "metrics", 401),
        (SCRAPER, "metrics", 200),
        (SCRAPER, "viewer", 403),
        (VIEWER, "metrics", 200),
        (VIEWER, "viewer", 200),
        (VIEWER, "operator", 403),
        (OPERATOR, "operator", 200),
        (OPERATOR, "admin", 403),
    ],
)
def test_a_token_gives_what_its_role_includes(token: str | None, needed: Any, expected: int) -> None:
    outcome = authenticator().authorize(scope(token), needed)
    assert status(outcome) == expected
    if isinstance(outcome, Problem):
        assert outcome.headers["WWW-Authenticate"].startswith('Bearer realm="bedplate"')
        assert outcome.detail


@pytest.mark.parametrize("header", ["", "Bearer", "Bearer ", "Basic dmVyYTp2ZXJh", VIEWER, "Bearer " + "x" * 5000])
def test_a_malformed_header_is_401(header: str) -> None:
    assert status(authenticator().authorize(scope(authorization=header), "viewer")) == 401


def test_the_scheme_is_not_case_sensitive() -> None:
    assert status(authenticator().authorize(scope(authorization=f"bearer  {VIEWER}"), "viewer")) == 200


def test_two_authorization_headers_are_not_a_token() -> None:
    twice = scope(VIEWER, authorization=f"Bearer {VIEWER}")
    assert status(authenticator().authorize(twice, "viewer")) == 401


LOCAL = ("127.0.0.1", 5)


@pytest.mark.parametrize(
    ("peer", "host", "expected"),
    [
        (LOCAL, "localhost:8000", 200),
        (LOCAL, "127.0.0.1:8000", 200),
        (("::1", 5), "[::1]:8000", 200),
        (("::ffff:127.0.0.1", 5), "api.localhost", 200),
        (("testclient", 5), "testserver", 200),
        (LOCAL, "attacker.example", 401),  # DNS rebinding
        (LOCAL, "", 200),
        (LOCAL, "[", 401),
        (("192.168.1.7", 5), "localhost:8000", 401),
        (None, "localhost", 401),
    ],
)
def test_development_is_open_to_this_machine_by_its_local_names(peer: Any, host: str, expected: int) -> None:
    outcome = authenticator("development").authorize(scope(peer=peer, host=host), "admin")
    assert status(outcome) == expected


@pytest.mark.parametrize("environment", ["test", "staging", "production"])
@pytest.mark.parametrize("development", ["loopback", "everyone", "token"])
def test_nothing_is_open_outside_development(environment: str, development: str) -> None:
    auth = authenticator(environment, development=development)
    assert status(auth.authorize(scope(peer=LOCAL, host="localhost"), "metrics")) == 401


def test_development_can_be_opened_to_everyone_or_to_nobody() -> None:
    far = scope(peer=("203.0.113.9", 1))
    assert status(authenticator("development", development="everyone").authorize(far, "admin")) == 200
    near = scope(peer=LOCAL, host="localhost")
    assert status(authenticator("development", development="token").authorize(near, "metrics")) == 401


def test_a_wrong_token_is_wrong_in_development_too() -> None:
    assert status(authenticator("development").authorize(scope("wrong", peer=LOCAL, host="localhost"), "viewer")) == 401


@pytest.mark.parametrize("environment", ["staging", "production"])
def test_running_for_real_without_tokens_is_refused(environment: Any) -> None:
    refusals = list(authenticator(environment, tokens="").refusals(environment, {}))
    assert [refusal.component for refusal in refusals] == ["auth"]
    assert "BEDPLATE_TOKENS" in refusals[0].mend
    assert not list(authenticator(environment).refusals(environment, {}))


@pytest.mark.parametrize("environment", ["development", "test"])
def test_a_laptop_needs_no_tokens(environment: Any) -> None:
    assert not list(authenticator(environment, tokens="").refusals(environment, {}))


def test_a_token_that_can_be_guessed_is_refused_without_showing_it() -> None:
    refusals = list(authenticator(tokens="bob:admin:letmein").refusals("production", {}))
    assert len(refusals) == 1
    assert "bob" in refusals[0].what
    assert "letmein" not in str(refusals[0])


def test_wrong_tokens_are_throttled_and_right_ones_of_the_same_address_are_not_locked_out() -> None:
    auth = authenticator(failures=5)
    assert status(auth.authorize(scope(VIEWER), "viewer")) == 200
    answers = [status(auth.authorize(scope(f"guess-{n}"), "viewer")) for n in range(8)]
    assert answers == [401] * 5 + [429] * 3
    limited = auth.authorize(scope("guess"), "viewer")
    assert isinstance(limited, Problem)
    assert int(limited.headers["Retry-After"]) >= 1
    assert status(auth.authorize(scope(VIEWER), "viewer")) == 200, "known here already"
    assert status(auth.authorize(scope(OPERATOR), "viewer")) == 429, "a right guess is not told from a wrong one"
    assert status(auth.authorize(scope(OPERATOR, peer=("198.51.100.1", 1)), "viewer")) == 200


async def test_the_throttle_lets_go_with_time() -> None:
    auth = authenticator(failures=2)
    clock = DrivenClock()
    async with running(auth, FakeHost(clock)):
        for _ in range(3):
            auth.authorize(scope("guess"), "viewer")
        assert status(auth.authorize(scope(VIEWER), "viewer")) == 429
        await clock.advance(60)
        assert status(auth.authorize(scope(VIEWER), "viewer")) == 200


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({}, 200),
        ({"sec_fetch_site": "same-origin"}, 200),
        ({"sec_fetch_site": "none"}, 200),
        ({"sec_fetch_site": "cross-site"}, 403),
        ({"sec_fetch_site": "same-site"}, 403),
        ({"origin": "http://ledger.example"}, 200),
        ({"origin": "https://LEDGER.example"}, 200),
        ({"origin": "http://evil.example"}, 403),
        ({"origin": "http://ledger.example:81"}, 403),
        ({"origin": "null"}, 403),
        ({"origin": "http://["}, 403),
    ],
)
def test_another_site_cannot_press_a_button(headers: dict[str, str], expected: int) -> None:
    auth = authenticator()
    assert status(auth.authorize(scope(OPERATOR, method="POST", **headers), "operator")) == expected
    assert status(auth.authorize(scope(OPERATOR, method="GET", **headers), "operator")) == 200


def test_replaced_tokens_work_at_once_and_old_ones_no_more() -> None:
    auth = authenticator()
    auth.replace(AuthSettings(tokens="new:viewer:another-token-1234").tokens)  # type: ignore[arg-type]
    assert status(auth.authorize(scope(VIEWER), "viewer")) == 401
    assert status(auth.authorize(scope("another-token-1234"), "viewer")) == 200


def test_the_actor_is_who_carries_the_token() -> None:
    auth = authenticator()
    actor = auth.actor(scope(OPERATOR))
    assert actor is not None
    assert (actor.name, actor.role) == ("otto", "operator")
    assert auth.actor(scope(SCRAPER)) is None
    assert auth.actor(scope()) is None


async def test_attempts_are_counted_once_and_unknown_tokens_logged_without_themselves() -> None:
    auth = authenticator()
    async with running(auth, FakeHost()) as host:
        asked_twice = scope("guessed-secret")
        auth.identify(asked_twice)
        auth.authorize(asked_twice, "viewer")
        auth.authorize(scope(), "viewer")
        auth.authorize(scope(VIEWER), "admin")
        counts = {o: host.value(ATTEMPTS, outcome=o) for o in ("unknown", "missing", "forbidden", "accepted")}
        assert counts == {"unknown": 1, "missing": 1, "forbidden": 1, "accepted": 1}
        assert host.log.named("auth_token_unknown") == [{"client": "203.0.113.9", "path": "/x"}]
        assert "guessed-secret" not in str(host.log.events)


async def test_a_guarded_application_answers_problems() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"in"})

    guarded = authenticator().protect(app, "viewer")
    async with client(guarded) as http:
        answer = await http.get("/")
        assert answer.status_code == 401
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.headers["www-authenticate"] == 'Bearer realm="bedplate"'
        assert answer.headers["cache-control"] == "no-store"
        assert answer.json()["title"] == "Unauthorized"
        assert (await http.get("/", headers={"Authorization": f"Bearer {VIEWER}"})).text == "in"


def test_a_fastapi_endpoint_depends_on_a_role() -> None:
    auth = authenticator()
    app = FastAPI()

    @app.get("/me")
    async def me(identity: Identity = Depends(auth.require("operator"))) -> str:  # noqa: B008
        return identity.name

    with TestClient(app) as http:
        assert http.get("/me").status_code == 401
        assert http.get("/me", headers={"Authorization": f"Bearer {VIEWER}"}).status_code == 403
        assert http.get("/me", headers={"Authorization": f"Bearer {OPERATOR}"}).json() == "otto"


def test_a_websocket_is_refused_before_it_opens() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        await send({"type": "websocket.close", "code": 1000})

    auth = authenticator()
    http = TestClient(auth.protect(app, "viewer"))
    with pytest.raises(WebSocketDenialResponse) as caught, http.websocket_connect("/"):
        pass
    assert caught.value.status_code == 401
    with http.websocket_connect("/", headers={"Authorization": f"Bearer {VIEWER}"}):
        pass
    foreign = {"Authorization": f"Bearer {VIEWER}", "Origin": "http://evil.example"}
    with pytest.raises(WebSocketDenialResponse) as caught, http.websocket_connect("/", headers=foreign):
        pass
    assert caught.value.status_code == 403
