"""The console and the audit log through the conformance suite."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bedplate.component import Component
from bedplate.console import Console
from bedplate.console.interfaces import Sources
from bedplate.monitor.audit import Audit, AuditSettings
from bedplate.monitor.auth import Authenticator
from bedplate.monitor.health import Health
from bedplate.monitor.management.actions import Buttons
from bedplate.telemetry.redaction import Redactor
from bedplate.testing import conformance


def console() -> Console:
    redactor = Redactor()
    presses = Buttons(redactor, 5.0, lambda component, action, outcome: None)
    sources = Sources(service="test", environment="test", health=Health(), presses=presses, redactor=redactor)
    return Console(sources=sources, auth=Authenticator(environment="test"))


def audit() -> Audit:
    return Audit("test", AuditSettings(file=Path("audit.jsonl")), environment="test")


#: Every service has these already, so only the cases that need no service of their own apply.
MAKERS: dict[str, Callable[[], Any]] = {"console": console, "audit": audit}


@pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)
@pytest.mark.parametrize("case", [conformance.spec_is_stable, conformance.constructor_does_no_io])
async def test_they_conform(case: Any, make: Callable[[], Component]) -> None:
    await case(make)


@pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)
def test_every_alert_has_a_section_in_the_runbook_and_series_that_prove_it(make: Callable[[], Component]) -> None:
    spec = make().spec
    assert {alert.name for alert in spec.alerts} == set(spec.runbook.sections() if spec.runbook else {})
    assert all(alert.fires and alert.quiet for alert in spec.alerts)
