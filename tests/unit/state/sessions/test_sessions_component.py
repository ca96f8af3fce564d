"""Sessions as a component: declared soundly, refused where they would not be safe, operated by buttons."""

from __future__ import annotations

import pytest

from bedplate import BedplateError
from bedplate.declarations import Actor
from bedplate.problems import DeclarationError, RefusedError
from bedplate.service import Service
from bedplate.settings import Settings, Sources
from bedplate.state.memory import Memory
from bedplate.state.sessions import Sessions
from bedplate.testing import CASES
from tests.linked import snapshot

SECRET = "a secret for tests that is long enough to be one"


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.__name__)
async def test_sessions_conform(case) -> None:
    await case(lambda: Sessions(Memory(), secret=SECRET))


def _check(sessions: Sessions, environment: str) -> str:
    wanted = Settings(environment=environment, _sources=Sources.none())
    service = Service("shop", None, [sessions], settings=wanted)
    try:
        service.check()
    except RefusedError as error:
        return str(error)
    return ""


def test_production_refuses_sessions_without_a_secret() -> None:
    assert "sessions: it has no secret" in _check(Sessions(Memory(chosen=True)), "production")
    assert "its secret has 5 characters" in _check(Sessions(Memory(chosen=True), secret="short"), "production")
    assert "sessions: " not in _check(Sessions(Memory(chosen=True), secret=SECRET), "production")
    assert "sessions: " not in _check(Sessions(Memory(chosen=True)), "development")


def test_what_cannot_be_right_is_refused_when_it_is_made() -> None:
    with pytest.raises(DeclarationError, match="idle"):
        Sessions(Memory(), idle=10, longest=5)
    with pytest.raises(DeclarationError, match="cookie"):
        Sessions(Memory(), cookie="a b")


async def test_outside_a_service_they_say_so() -> None:
    with pytest.raises(BedplateError, match="do not run"):
        await Sessions(Memory()).list("ada")


async def test_an_operator_lists_and_ends_the_sessions_of_a_user(one) -> None:
    tokens = [(await one.sessions.open("ada", label="phone"))[0] for _ in range(3)]
    client, base = one.harness.client, "/monitoring/components/sessions/default/actions"
    listed = (await client.post(f"{base}/list-user", json={"user": "ada"})).json()
    text = str(listed)
    assert text.count("phone") == 3
    assert not any(token.split(".")[1] in text for token in tokens)
    answer = await client.post(f"{base}/revoke-user", json={"user": "ada"})
    assert answer.status_code == 200, answer.text
    assert [await one.sessions.find(token) for token in tokens] == [None] * 3
    assert (await client.post(f"{base}/revoke-user", json={"user": ""})).status_code == 422
    assert (await client.post(f"{base}/revoke-everyone", json={"confirm": "yes"})).status_code == 422


async def test_a_button_is_refused_while_the_store_is_away(one) -> None:
    one.link.cut()
    found = {action.name: action for action in one.sessions.actions()}
    assert "away" in found["revoke-user"].refused()
    assert found["revoke-user"].danger
    assert found["revoke-everyone"].role == "admin"
    with pytest.raises(BedplateError):
        await found["revoke-everyone"].run(None, Actor("ada", "admin"))


async def test_no_secret_reaches_metrics_logs_or_the_store(one, world, caplog) -> None:
    async with one.browser() as browser:
        await browser.post("/sign-in/ada")
        await browser.get("/me")
        secret = browser.cookies["__Host-shop-session"].split(".")[1]
        one.link.cut()
        await browser.post("/sign-out")
        one.link.heal()
    exposed = (await one.harness.client.get("/metrics")).text
    page = (await one.harness.client.get("/monitoring/components/sessions/default")).text
    for text in (exposed, page, caplog.text, repr(await snapshot(world.store)), repr(one.sessions.spec)):
        assert secret not in text
        assert SECRET not in text
