"""What clients ask for, how fast they are answered, and what fails; over the metrics that HTTP has anyway.

Requests of operators (scrapes, health, the management API) are left out: a scraper that asks every few seconds would
hide that nobody else does, and a service that answers *unhealthy* with 503 would count as one that fails.
"""

from __future__ import annotations

import re
from functools import partial
from typing import Final

from bedplate.declarations import Alert, Check, Panel, Series
from bedplate.monitor.health.metrics import READY
from bedplate.telemetry.http.metrics import ACTIVE, DURATION, ERRORS, REQUEST_SIZE, RESPONSE_SIZE
from synfinance.components.signals.boards import (
    AVAILABILITY,
    CRITICAL,
    SLA,
    SYSTEM_OVERVIEW,
    WARNING,
    p95,
    quantiles,
    runbook_of,
)

__all__ = ["CHECKS", "RUNBOOK", "alerts", "panels"]

RUNBOOK: Final = runbook_of(__file__)

_FAILED: Final = 'http_response_status_code=~"5.."'
#: Fewer requests a second than this tell nothing in shares: one failure of three is no outage.
_ENOUGH: Final = 0.2
#: Requests at once beyond which they wait for each other rather than being worked on.
_CROWD: Final = 50


#: What clients rely on; checks change nothing, so that none generates, scores or assesses.
CHECKS: Final = (
    Check(
        name="describes-itself",
        path="/",
        summary="It says what is here.",
        group="api",
        fields=("service", "version", "links.metrics", "endpoints"),
    ),
    Check(
        name="health",
        path="/health",
        summary="It says how it is, and which model it uses.",
        group="api",
        within=0.25,
        fields=("status", "model.state", "model.detects"),
    ),
    Check(
        name="fraud",
        path="/fraud",
        summary="It sums up the last minutes of fraud, cache and data quality.",
        group="api",
        within=0.5,
        suite="observability",
        fields=("window_seconds", "transactions", "fraud_rate", "by_type", "cache.hit_rate", "quality.score"),
    ),
    Check(
        name="openapi",
        path="/openapi.json",
        summary="Its description has the endpoints that clients call.",
        group="api",
        contains=('"/simulate"', '"/score"', '"/quality"', '"/fraud"'),
    ),
)

_panel = partial(Panel, dashboard=SYSTEM_OVERVIEW)


def matchers(management: str) -> str:
    """Return what narrows a selector to the requests of clients.

    :param management: where the management API is, ``/monitoring``.
    """
    # A backslash of the pattern is two in a string of PromQL.
    prefix = re.escape(management).replace("\\", "\\\\")
    return f'http_route!~"/metrics|/healthz|/console(/.*)?|{prefix}(/.*)?"'


def alerts(management: str) -> tuple[Alert, ...]:
    """Return the alerts, for a management API at ``management``."""
    clients = matchers(management)
    enough = f"{_rate(clients)} > {_ENOUGH}"
    return (
        Alert(
            name="HighErrorRate",
            expr=f"{_failing(clients, '5m')} > 0.05 and {enough}",
            summary="{{ $value | humanizePercentage }} of the requests fail; clients get errors instead of answers.",
            severity="critical",
            for_="2m",
            group=CRITICAL,
            fires=(_requests("200", "0+60x15"), _requests("500", "0x5 0+6x10")),
            quiet=(_requests("200", "0+60x25"), _requests("500", "0x5 0+2x20")),
        ),
        Alert(
            name="HighRequestLatency",
            expr=f"{p95(DURATION, matchers=clients)} > 1 and {enough}",
            summary="One request in twenty takes longer than {{ $value | humanizeDuration }}; clients give up and "
            "ask again.",
            severity="critical",
            for_="5m",
            group=CRITICAL,
            fires=_durations(within_a_second=0.9),
            quiet=_durations(within_a_second=0.97),
        ),
        Alert(
            name="ElevatedErrorRate",
            expr=f"{_failing(clients, '15m')} > 0.03 and {enough}",
            summary="{{ $value | humanizePercentage }} of the requests of the last quarter of an hour failed.",
            for_="5m",
            group=WARNING,
            fires=(_requests("200", "0+60x30"), _requests("500", "0+3x30")),
            quiet=(_requests("200", "0+60x30"), _requests("500", "0+1x30")),
        ),
        Alert(
            name="ElevatedRequestLatency",
            expr=f"{p95(DURATION, '15m', matchers=clients)} > 0.75 and {enough}",
            summary="One request in twenty takes longer than {{ $value | humanizeDuration }}, for a quarter of an "
            "hour.",
            for_="10m",
            group=WARNING,
            fires=_durations(within_a_second=0.94),
            quiet=_durations(within_a_second=0.99),
        ),
        Alert(
            name="HighActiveRequests",
            expr=f"{ACTIVE} > {_CROWD}",
            summary="{{ $value | humanize }} requests are under way at once, more than can be worked on; they wait "
            "for each other.",
            for_="2m",
            group=AVAILABILITY,
            fires=(Series(str(ACTIVE), "4x4 70x10"),),
            quiet=(Series(str(ACTIVE), "4x4 70x1 12x15"),),
        ),
        Alert(
            name="NoTrafficDetected",
            # Without any request yet there is no series at all; that is none, not nothing known.
            expr=f"({_rate(clients)} or vector(0)) == 0",
            summary="No client has asked for anything for ten minutes; they cannot reach the service, or have no need.",
            for_="10m",
            group=AVAILABILITY,
            fires=(_requests("200", "40x30"), _requests("200", "0+4x30", route="/metrics")),
            quiet=(_requests("200", "40x8 41x8"),),
        ),
    )


def panels(management: str) -> tuple[Panel, ...]:
    """Return the panels, for a management API at ``management``."""
    return (*_first_look(matchers(management)), *_closer_look(matchers(management)))


def _first_look(clients: str) -> tuple[Panel, ...]:
    stat = partial(_panel, kind="stat", row="Is it well?")
    return (
        stat(title="Ready", expr=f"min({READY})", summary="Does every process take requests? 1 is yes."),
        stat(title="Requests a second", expr=_rate(clients), unit="reqps", summary="How much do clients ask for?"),
        stat(
            title="Failing requests",
            expr=_failing(clients, "5m"),
            unit="percentunit",
            summary="What share of the requests is answered with 5xx?",
        ),
        stat(
            title="95 % are answered within",
            expr=p95(DURATION, matchers=clients),
            unit="s",
            thresholds=(SLA,),
            summary="How long does nearly everybody wait at most?",
        ),
    )


def _closer_look(clients: str) -> tuple[Panel, ...]:
    counts = f"{DURATION.count}{{{clients}}}"
    asked, fast, fails = (partial(_panel, row=row) for row in ("Who asks for what?", "How fast?", "What fails?"))
    return (
        asked(
            title="Requests by endpoint",
            expr=(("{{http_route}}", _by("http_route", counts)),),
            unit="reqps",
            stacked=True,
            summary="Which endpoints are used?",
        ),
        asked(
            title="Requests by status",
            expr=(("{{http_response_status_code}}", _by("http_response_status_code", counts)),),
            unit="reqps",
            stacked=True,
            summary="Is it answered? 4xx are the clients' mistakes, 5xx ours.",
        ),
        asked(
            title="Bytes received and sent",
            expr=(
                ("received", f"sum(rate({REQUEST_SIZE.sum}{{{clients}}}[5m]))"),
                ("sent", f"sum(rate({RESPONSE_SIZE.sum}{{{clients}}}[5m]))"),
            ),
            unit="Bps",
            low=0,
            summary="Do bodies grow?",
        ),
        asked(
            title="Requests under way",
            expr=(("{{instance}}", str(ACTIVE)),),
            low=0,
            summary="Do they wait for each other? Operators' are among them.",
        ),
        fast(
            title="Request duration",
            expr=quantiles(DURATION, 0.5, 0.95, 0.99, matchers=clients),
            unit="s",
            low=0,
            thresholds=(SLA,),
            summary="How long do half of the clients wait, nearly all, and the unlucky ones?",
        ),
        fast(
            title="Request duration by endpoint, p95",
            expr=(("{{http_route}}", p95(DURATION, matchers=clients, by="http_route")),),
            unit="s",
            low=0,
            thresholds=(SLA,),
            summary="Which endpoint is slow? Batches of thousands of rows take longer than the SLA by nature.",
        ),
        fails(
            title="Failing requests by endpoint",
            expr=(
                (
                    "{{http_route}}",
                    _share(_by("http_route", f"{DURATION.count}{{{clients},{_FAILED}}}"), _by("http_route", counts)),
                ),
            ),
            unit="percentunit",
            low=0,
            summary="Does all of it fail, or one endpoint?",
        ),
        fails(
            title="Errors by type",
            expr=(("{{error_type}}", _by("error_type", str(ERRORS))),),
            unit="reqps",
            low=0,
            summary="Which exceptions are behind it? The grouped errors of the management API have their traces.",
        ),
    )


def _rate(clients: str, more: str = "", window: str = "5m") -> str:
    inside = ",".join(part for part in (clients, more) if part)
    return f"sum(rate({DURATION.count}{{{inside}}}[{window}]))"


def _failing(clients: str, window: str) -> str:
    return _share(_rate(clients, _FAILED, window), _rate(clients, window=window))


def _share(part: str, whole: str) -> str:
    # Where nothing fails there is no series of failures; that is a share of 0, not nothing known.
    return f"({part} or {whole} * 0) / {whole}"


def _by(label: str, selector: str) -> str:
    return f"sum by ({label}) (rate({selector}[5m]))"


def _requests(status: str, values: str, route: str = "/score") -> Series:
    """Return the series of a route's requests, for trials of the alerts."""
    labels = f'http_request_method="POST",http_route="{route}",http_response_status_code="{status}"'
    return Series(f"{DURATION.count}{{{labels}}}", values)


def _durations(within_a_second: float) -> tuple[Series, ...]:
    """Return the series of one request a second, of which this share is answered within a second."""
    labels = 'http_request_method="POST",http_route="/score",http_response_status_code="200"'
    reached = {"0.5": 0.6, "0.75": within_a_second - 0.02, "1.0": within_a_second, "2.5": 1.0, "+Inf": 1.0}
    buckets = (
        Series(f'{DURATION.bucket}{{{labels},le="{le}"}}', f"0+{60 * share:g}x40") for le, share in reached.items()
    )
    return (*buckets, _requests("200", "0+60x40"))
