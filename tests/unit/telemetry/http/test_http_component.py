from __future__ import annotations

from bedplate.component import Component
from bedplate.metric import Histogram
from bedplate.telemetry.http import Http, HttpSettings
from bedplate.telemetry.http.metrics import DURATION, METRICS
from tests.unit.telemetry.http.wire import respond, wired


def test_it_is_a_component_whose_spec_is_stable() -> None:
    http = Http(HttpSettings())
    assert isinstance(http, Component)
    assert http.spec == http.spec
    assert (http.spec.kind, http.spec.metrics) == ("http", METRICS)
    names = {sample for metric in METRICS for sample in metric.sample_names}
    assert all(any(name in expr for name in names) for panel in http.spec.panels for expr in panel.exprs)


def test_metrics_have_opentelemetrys_names_and_boundaries() -> None:
    assert isinstance(DURATION, Histogram)
    assert DURATION.name == "http_server_request_duration_seconds"
    assert DURATION.buckets == (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0)
    assert DURATION.label_names == ("http_request_method", "http_route", "http_response_status_code")


async def test_two_wraps_share_the_metrics() -> None:
    async with wired(lambda s, r, send: respond(send)) as w:
        first, second = w.app, w.http.wrap(lambda s, r, send: respond(send))
        await w.get()
        w.app = second
        await w.get()
        w.app = first
        assert await w.values(DURATION, "_count") == {("GET", "_unmatched", "200"): 2}
    assert len(w.records) == 1


async def test_what_is_wrapped_while_it_runs_is_measured_too() -> None:
    """A service builds its routes when the first request comes, or at the end of its start, whichever is first."""
    async with wired(lambda s, r, send: respond(send)) as w:
        w.app = w.http.wrap(lambda s, r, send: respond(send))
        await w.get()
        assert await w.values(DURATION, "_count") == {("GET", "_unmatched", "200"): 1}


def test_every_service_has_an_objective_unless_it_wants_none() -> None:
    (slo,) = Http(HttpSettings()).spec.slos
    assert (slo.name, slo.objective, slo.window) == ("http-availability", 0.999, "30d")
    assert Http(HttpSettings(availability=0.95)).spec.slos[0].objective == 0.95
    assert Http(HttpSettings(availability=0)).spec.slos == ()
