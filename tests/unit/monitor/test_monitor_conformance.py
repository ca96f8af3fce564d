from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from bedplate.component import Component
from bedplate.monitor.alerts.notify import Notifier, NotifySettings
from bedplate.monitor.auth import Authenticator
from bedplate.monitor.checks import Checks
from bedplate.monitor.health import Health
from bedplate.monitor.management import Management
from bedplate.monitor.prometheus_api.component import PrometheusApi
from bedplate.monitor.samples.component import Samples
from bedplate.monitor.unified import Unified
from bedplate.telemetry.metrics.registry import Registry
from bedplate.testing import conformance
from tests.unit.monitor.alerts.notify.telling import Engine
from tests.unit.monitor.unified.test_unified import Site

REGISTRY = Registry()


def management() -> Management:
    auth = Authenticator(environment="test")
    return Management(registry=REGISTRY, health=Health(), auth=auth)


async def no_app(scope: Any, receive: Any, send: Any) -> None:
    """Answer nothing."""


def checks() -> Checks:
    return Checks(no_app, auth=Authenticator(environment="test"), environment="test")


def samples() -> Samples:
    return Samples(source=REGISTRY)


def prometheus_api() -> PrometheusApi:
    return PrometheusApi(samples(), source=REGISTRY, auth=Authenticator(environment="test"))


def notifier() -> Notifier:
    return Notifier(NotifySettings(notify_urls=("json://localhost/hook",)), alerts=Engine())  # type: ignore[arg-type]


def unified() -> Unified:
    site = Site()
    return site.unified


#: Every service has these already, so only the cases that need no service of their own apply.
MAKERS: dict[str, Callable[[], Any]] = {
    "auth": lambda: Authenticator(environment="test"),
    "health": Health,
    "management": management,
    "checks": checks,
    "samples": samples,
    "prometheus_api": prometheus_api,
    "notifier": notifier,
    "unified": unified,
}


@pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)
@pytest.mark.parametrize("case", [conformance.spec_is_stable, conformance.constructor_does_no_io])
async def test_bedplates_own_components_conform(case: Any, make: Callable[[], Component]) -> None:
    await case(make)


@pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)
def test_every_alert_has_a_section_in_the_runbook_and_series_that_prove_it(make: Callable[[], Component]) -> None:
    spec = make().spec
    assert {alert.name for alert in spec.alerts} == set(spec.runbook.sections() if spec.runbook else {})
    assert all(alert.fires and alert.quiet for alert in spec.alerts)
