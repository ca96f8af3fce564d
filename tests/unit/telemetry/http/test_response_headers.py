from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from bedplate.telemetry.http import HttpSettings
from tests.unit.telemetry.http.wire import respond, wired

OWN = [(b"content-security-policy", b"default-src 'self'"), (b"x-request-id", b"theirs"), (b"a", b"1"), (b"a", b"2")]


async def plain(scope: Any, receive: Any, send: Any) -> None:
    await respond(send)


async def own(scope: Any, receive: Any, send: Any) -> None:
    await respond(send, headers=list(OWN))


async def test_answers_carry_the_security_headers_and_the_id() -> None:
    async with wired(plain) as w:
        headers = (await w.get()).headers
    assert headers.pop("x-request-id") == w.records[0]["request_id"]
    assert headers == {
        "x-content-type-options": "nosniff",
        "x-frame-options": "DENY",
        "content-security-policy": "frame-ancestors 'none'",
        "referrer-policy": "same-origin",
        "permissions-policy": "camera=(), geolocation=(), microphone=()",
    }


async def test_what_the_application_has_set_stays_and_comes_once() -> None:
    async with wired(own) as w:
        headers = (await w.get()).messages[0]["headers"]
    assert headers[: len(OWN)] == OWN
    names = [name for name, _ in headers]
    assert names.count(b"content-security-policy") == names.count(b"x-request-id") == 1
    assert b"x-frame-options" in names


@pytest.mark.parametrize(
    ("environment", "scheme", "expected"),
    [("production", "https", True), ("production", "http", False), ("development", "https", False)],
)
async def test_strict_transport_is_asked_for_over_https_in_production(
    environment: str, scheme: str, expected: bool
) -> None:
    async with wired(plain, environment=environment) as w:
        assert ("strict-transport-security" in (await w.get(scheme=scheme)).headers) is expected


async def test_they_can_be_changed() -> None:
    settings = HttpSettings(security_headers={"X-Frame-Options": "SAMEORIGIN"}, hsts="")
    async with wired(plain, settings, environment="production") as w:
        headers = (await w.get(scheme="https")).headers
    assert set(headers) == {"x-frame-options", "x-request-id"}
    assert headers["x-frame-options"] == "SAMEORIGIN"


@pytest.mark.parametrize("fault", [{"access_log_ratio": 1.1}, {"trusted_proxies": ["10.0.0.0/33"]}, {"unknown": 1}])
def test_settings_out_of_range_are_refused(fault: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        HttpSettings(**fault)
