"""What is made of an answer, and where it is looked up."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from bedplate.monitor.checks import Item, Reply, Value, judged
from bedplate.monitor.checks.paths import MISSING, found

DOCUMENT = {
    "system": {"status": "healthy", "reasons": [], "note": None},
    "items": [
        {"name": "cache:reports", "state": "running"},
        {"name": "redis", "probes": [{"name": "ping", "up": True}]},
    ],
}


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("system.status", "healthy"),
        ("system.reasons", []),
        ("system.note", None),
        ("items.0.state", "running"),
        ("items.{name=cache:reports}.state", "running"),
        ("items.{name=redis}.probes.{name=ping}.up", True),
        ("items.2.state", MISSING),
        ("items.{name=mail}.state", MISSING),
        ("items.{name=redis}.state", MISSING),
        ("system.{name=redis}", MISSING),
        ("system.status.deeper", MISSING),
        ("items.first", MISSING),
    ],
)
def test_places_in_a_document_are_found_by_their_path(path: str, value: Any) -> None:
    assert found(DOCUMENT, path) == value


def item(**values: Any) -> Item:
    return Item(**{"name": "shop/look", "group": "shop", "source": "shop", "path": "/look", **values})


def reply(document: Any = DOCUMENT, status: int = 200, seconds: float = 0.01, location: str = "") -> Reply:
    body = document if isinstance(document, bytes) else orjson.dumps(document)
    kind = "text/html" if isinstance(document, bytes) else "application/json"
    return Reply(status, {"content-type": kind, "location": location}, body, seconds)


STATE = "items.{name=cache:reports}.state"


@pytest.mark.parametrize(
    ("check", "answer", "outcome", "detail"),
    [
        (item(), reply(), "passed", ""),
        (item(fields=("system.status", "items.1.name")), reply(), "passed", ""),
        (item(fields=("system.uptime", "system.status")), reply(), "failed", "there is no system.uptime"),
        (item(contains=("healthy", "lost")), reply(), "failed", "it does not hold lost"),
        (item(contains=tuple("12345")), reply(b"none"), "failed", "it does not hold 1, 2, 3 and 2 more"),
        (
            item(fields=("a",)),
            reply(
                b"<p>hello",
            ),
            "failed",
            "text/html, which is no JSON",
        ),
        (item(), reply({"detail": "No room."}, 503), "failed", "it answers 503, not 200: No room."),
        (item(), reply({"status": "unhealthy"}, 503), "failed", "it answers 503, not 200: unhealthy"),
        (item(), reply([], 503), "failed", "it answers 503, not 200"),
        (item(), reply(b"<p>", 502), "failed", "it answers 502, not 200"),
        (item(), reply(b"", 302, location="/login"), "failed", "it points to /login"),
        (item(expect=404), reply({"detail": "None."}, 404), "passed", ""),
        (item(expect=401, anonymous=True), reply(), "failed", "it answers 200 to anybody, without a token"),
        (item(values=(Value(path=STATE, equals="running"),)), reply(), "passed", ""),
        (item(values=(Value(path=STATE, equals="gone"),)), reply(), "failed", "state is running, not gone"),
        (item(values=(Value(path="system.state", equals="up"),)), reply(), "failed", "there is no system.state"),
        (
            item(values=(Value(path=STATE, equals="up", tolerated=("running",)),)),
            reply(),
            "warning",
            "state is running",
        ),
        (item(expect=0, values=(Value(path=STATE, equals="running"),)), reply(status=503), "passed", ""),
        (item(within=0.1), reply(seconds=0.3), "warning", "it took 0.30 s, more than 0.1 s"),
        (item(within=0.1), reply(seconds=0.7), "failed", "it took 0.70 s, more than 0.1 s"),
        (item(optional=True), reply(status=500), "warning", "it answers 500, not 200"),
    ],
)
def test_an_answer_is_judged_and_the_reason_is_told(check: Item, answer: Reply, outcome: str, detail: str) -> None:
    result = judged(check, answer)
    assert result.outcome == outcome
    assert detail in result.detail
    assert bool(result.detail) == bool(detail)
    assert result.seconds == answer.seconds
