from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Mapping
from typing import Any

import pytest

from bedplate.declarations import Action, Actor
from bedplate.monitor.management.actions import ACTIONS, Buttons
from bedplate.problems import BedplateError
from bedplate.telemetry.redaction import Redactor
from tests.unit.monitor.management.api import Api
from tests.unit.monitor.monitor_fakes import running

FLUSH = "components/cache/reports/actions/flush"
PEEK = "components/cache/reports/actions/peek"
ERASE = "components/cache/reports/actions/erase"


@pytest.fixture
async def api() -> AsyncIterator[Api]:
    made = Api(action_timeout=0.05)
    async with running(made.management, made.host):
        yield made


@pytest.fixture
def audit(caplog: pytest.LogCaptureFixture) -> Any:
    caplog.set_level(logging.INFO, logger="bedplate.audit")

    def last() -> dict[str, Any]:
        record = caplog.records[-1]
        assert record.name == "bedplate.audit"
        return {"event": record.msg, **record.context}  # type: ignore[attr-defined]

    return last


async def press(api: Api, path: str = FLUSH, role: str = "operator", **options: Any) -> Any:
    return await api.ask("POST", path, role, **options)


async def test_an_action_is_done_with_its_parameters_and_audited(api: Api, audit: Any) -> None:
    answer = await press(api, json={"pattern": "a:*", "secret": "hunter2hunter2"})
    assert answer.status_code == 200
    assert answer.json()["result"]["dropped"] == 3
    parameters, actor = api.cache.flushed[0]
    assert (parameters.pattern, parameters.secret.get_secret_value()) == ("a:*", "hunter2hunter2")
    assert (actor.name, actor.role) == ("operator-name", "operator")
    entry = audit()
    assert entry["event"] == "action_done"
    assert (entry["actor"], entry["component"], entry["action"]) == ("operator-name", "cache:reports", "flush")
    assert entry["parameters"]["pattern"] == "a:*"
    assert "hunter2" not in str(entry) + answer.text
    assert api.host.value(ACTIONS, component="cache:reports", action="flush", outcome="done") == 1


@pytest.mark.parametrize(
    ("path", "role", "status"),
    [
        (FLUSH, "", 401),
        (FLUSH, "metrics", 403),
        (FLUSH, "viewer", 403),
        (FLUSH, "operator", 200),
        (FLUSH, "admin", 200),
        (PEEK, "viewer", 200),
        (ERASE, "operator", 403),
        (ERASE, "admin", 200),
    ],
)
async def test_the_role_of_the_action_decides(api: Api, path: str, role: str, status: int) -> None:
    body = {"pattern": "*"} if path == FLUSH else None
    assert (await press(api, path, role, json=body) if body else await press(api, path, role)).status_code == status


async def test_a_denied_attempt_is_audited(api: Api, audit: Any) -> None:
    await press(api, role="viewer", json={"pattern": "*"})
    assert (audit()["event"], audit()["actor"]) == ("action_denied", "viewer-name")
    assert not api.cache.flushed


async def test_wrong_parameters_are_422_and_their_values_are_not_repeated(api: Api, audit: Any) -> None:
    answer = await press(api, json={"pattern": ["hunter2hunter2"]})
    assert (answer.status_code, answer.headers["content-type"]) == (422, "application/problem+json")
    assert answer.json()["errors"][0]["at"] == "pattern"
    assert audit()["event"] == "action_invalid"
    assert "hunter2" not in answer.text + str(audit())
    assert (await press(api, PEEK, json={"x": 1})).status_code == 422


@pytest.mark.parametrize(
    ("options", "status"),
    [
        ({"content": b"{", "headers": {"Content-Type": "application/json"}}, 400),
        ({"content": b"[1]", "headers": {"Content-Type": "application/json"}}, 422),
        ({"content": b"pattern=1", "headers": {"Content-Type": "application/x-www-form-urlencoded"}}, 415),
        ({"content": b'{"pattern":"*"}', "headers": {"Content-Type": "text/plain"}}, 415),
        ({"content": b"x" * 70_000, "headers": {"Content-Type": "application/json"}}, 413),
        ({}, 422),
    ],
)
async def test_a_body_that_is_no_json_object_is_refused(api: Api, options: Any, status: int) -> None:
    answer = await press(api, **options)
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json")
    assert not api.cache.flushed


async def test_what_is_refused_now_is_409_with_the_reason(api: Api, audit: Any) -> None:
    api.cache.refused = "A rollout is under way."
    answer = await press(api, json={"pattern": "*"})
    assert (answer.status_code, answer.json()["detail"]) == (409, "A rollout is under way.")
    assert (audit()["event"], audit()["reason"]) == ("action_refused", "A rollout is under way.")
    assert not api.cache.flushed


async def test_a_fault_that_says_what_to_do_is_a_conflict(api: Api, audit: Any) -> None:
    api.cache.failure = BedplateError("Nothing is cached.", "Warm it first.")
    answer = await press(api, json={"pattern": "*"})
    assert (answer.status_code, answer.json()["detail"]) == (409, "Nothing is cached. Warm it first.")
    assert audit()["event"] == "action_refused"


@pytest.mark.parametrize("failure", [ValueError("broken with hunter2"), TimeoutError("redis took too long")])
async def test_any_other_fault_is_audited_and_left_to_the_middleware(api: Api, audit: Any, failure: Exception) -> None:
    api.cache.failure = failure
    with pytest.raises(type(failure)):
        await press(api, json={"pattern": "*"})
    assert audit()["event"] == "action_failed"


async def test_what_takes_too_long_is_cancelled_and_said(api: Api, audit: Any) -> None:
    import asyncio

    async def slow(parameters: Any, actor: Any) -> None:
        await asyncio.sleep(60)

    api.cache.flush = slow  # type: ignore[assignment]
    answer = await press(api, json={"pattern": "*"})
    assert answer.status_code == 504
    assert audit()["event"] == "action_unfinished"


@pytest.mark.parametrize("headers", [{"Sec-Fetch-Site": "cross-site"}, {"Origin": "https://evil.example"}])
async def test_another_site_cannot_press_it(api: Api, headers: dict[str, str]) -> None:
    answer = await press(api, json={"pattern": "*"}, headers=headers)
    assert answer.status_code == 403
    assert not api.cache.flushed


async def test_an_unknown_action_is_404(api: Api) -> None:
    assert (await press(api, "components/cache/reports/actions/explode")).status_code == 404
    assert (await press(api, "components/cache/other/actions/flush")).status_code == 404


async def test_an_action_whose_caller_is_cancelled_is_recorded_all_the_same() -> None:
    begun, kept = asyncio.Event(), list[dict[str, Any]]()

    async def run(parameters: None, actor: Actor) -> None:
        begun.set()
        await asyncio.Event().wait()

    async def keep(record: Mapping[str, Any]) -> str:
        await asyncio.sleep(0)
        kept.append(dict(record))
        return "a-hash"

    buttons = Buttons(Redactor(), 60.0, lambda *counted: None, keep=keep)
    action = Action(name="wait", summary="Wait.", run=run)
    pressing = asyncio.create_task(buttons.press("cache", action, Actor("ann", "operator"), {}))
    await begun.wait()
    pressing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await pressing
    assert [(record["actor"], record["outcome"]) for record in kept] == [("ann", "unfinished")]
