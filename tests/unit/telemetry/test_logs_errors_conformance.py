"""Logs and errors conform to what every component must do, as far as it applies to what every service has already."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest

from bedplate.component import Component
from bedplate.telemetry.errors import Errors
from bedplate.telemetry.logs import Logs
from bedplate.testing import conformance, running

MAKERS: list[Callable[[], Any]] = [Logs, Errors]


@pytest.mark.parametrize("make", MAKERS, ids=["logs", "errors"])
@pytest.mark.parametrize("case", [conformance.spec_is_stable, conformance.constructor_does_no_io])
async def test_they_conform(case: Any, make: Callable[[], Component]) -> None:
    await case(make)


@pytest.mark.parametrize("make", MAKERS, ids=["logs", "errors"])
def test_every_alert_has_a_section_in_the_runbook_and_series_that_prove_it(make: Callable[[], Component]) -> None:
    spec = make().spec
    assert {alert.name for alert in spec.alerts} == set(spec.runbook.sections() if spec.runbook else {})
    assert all(alert.fires and alert.quiet for alert in spec.alerts)


async def test_no_thread_is_left_behind() -> None:
    before = set(threading.enumerate())
    async with running([]):
        assert any(thread.name == "bedplate-logs" for thread in threading.enumerate())
    left = {thread.name for thread in set(threading.enumerate()) - before}
    assert not any(name.startswith(("bedplate", "sentry")) for name in left)
