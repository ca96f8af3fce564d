"""What idempotency measures, and what of it a person must know."""

from __future__ import annotations

from bedplate.declarations import Alert, Panel, Series
from bedplate.metric import Counter, Gauge
from bedplate.state.reach import reaches

__all__ = ["INCIDENTS", "KINDS", "METRICS", "OUTCOMES", "REQUESTS", "RUNNING", "UNSAVED", "UP", "alerts", "panels"]

_NAME = {"idempotency": 20}

OUTCOMES = (
    "executed",  # for the first time, and recorded
    "failed",  # executed, and to be executed again: an error of the moment
    "replayed",  # the answer of before
    "in_flight",  # being executed: 409
    "reused",  # the key stands for another request: 422
    "malformed",  # no key where one must be, or none that can be one: 400
    "unkept",  # done before, the answer was not kept: 409
    "refused",  # the store was away: 503, nothing executed
)
REQUESTS = Counter(
    "bedplate_idempotency_requests_total",
    "Requests and calls with an idempotency key, by what became of them.",
    {**_NAME, "outcome": OUTCOMES},
)
KINDS = (
    "taken_over",  # another attempt began since the mark of one had lapsed: its process has died, or hung
    "fenced_off",  # an attempt ended after another had taken over: it was executed twice
    "abandoned",  # an attempt was cut short, nobody knows what came of it
    "unkept",  # an answer was too large, or broke off
)
INCIDENTS = Counter(
    "bedplate_idempotency_incidents_total",
    "What should be rare: attempts taken over, fenced off, abandoned, and answers not kept.",
    {**_NAME, "kind": KINDS},
)
RUNNING = Gauge("bedplate_idempotency_running", "Attempts that are under way.", _NAME)
UNSAVED = Gauge("bedplate_idempotency_unsaved", "Answers that were given and wait for the store to be recorded.", _NAME)
UP = reaches("bedplate_idempotency_up", _NAME)
METRICS = (REQUESTS, INCIDENTS, RUNNING, UNSAVED)


def alerts(name: str) -> tuple[Alert, ...]:
    """Return the alerts of one ledger of keys."""
    unsaved = UNSAVED(idempotency=name)
    refused = REQUESTS(idempotency=name, outcome="refused")
    twice = INCIDENTS(idempotency=name, kind="fenced_off")
    taken = INCIDENTS(idempotency=name, kind="taken_over")
    return (
        Alert(
            name="IdempotencyRefused",
            expr=f"increase({refused}[5m]) > 0",
            summary='{{ $value | printf "%.0f" }} requests in 5 minutes were refused with 503; nothing was executed.',
            for_="0s",
            fires=(Series(str(refused), "0x5 0+4x20"),),
            quiet=(Series(str(refused), "0x30"),),
        ),
        Alert(
            name="IdempotencyUnsaved",
            expr=f"sum({unsaved}) > 0",
            summary="{{ $value | humanize }} answers were given that the store does not have yet.",
            for_="1m",
            fires=(Series(str(unsaved), "0 2x10"),),
            quiet=(Series(str(unsaved), "0 2 0x20"),),
        ),
        Alert(
            name="IdempotencyTakenOver",
            expr=f"increase({taken}[10m]) > 0",
            summary='{{ $value | printf "%.0f" }} requests were executed again, as the process that began them died.',
            for_="0s",
            fires=(Series(str(taken), "0x5 0+1x20"),),
            quiet=(Series(str(taken), "0x30"),),
        ),
        Alert(
            name="IdempotencyExecutedTwice",
            expr=f"increase({twice}[10m]) > 0",
            summary='{{ $value | printf "%.0f" }} requests were executed twice, at the same time.',
            severity="critical",
            for_="0s",
            fires=(Series(str(twice), "0x5 0+1x20"),),
            quiet=(Series(str(twice), "0x30"),),
        ),
    )


def panels(name: str) -> tuple[Panel, ...]:
    """Return the panels of one ledger of keys."""
    row = "Idempotency" if name == "default" else f"Idempotency {name}"
    return (
        Panel(
            title="Requests with a key",
            expr=(("{{outcome}}", f"sum by (outcome) (rate({REQUESTS(idempotency=name)}[5m]))"),),
            unit="reqps",
            row=row,
            summary="How many clients repeat themselves (replayed, in_flight), and how many use keys wrongly?",
        ),
        Panel(
            title="Taken over, executed twice, abandoned, not kept",
            expr=(("{{kind}}", f"sum by (kind) (increase({INCIDENTS(idempotency=name)}[10m]))"),),
            row=row,
            summary="All of these should be 0.",
        ),
        Panel(
            title="Under way and waiting",
            expr=(
                ("under way", f"sum({RUNNING(idempotency=name)})"),
                ("not recorded yet", f"sum({UNSAVED(idempotency=name)})"),
            ),
            row=row,
        ),
    )
