"""P1 and P2: what a request costs more than in bare FastAPI."""

from __future__ import annotations

from benchmarks.lab import Lab
from benchmarks.results import Goal, Measure, Row
from benchmarks.spread import Spread, differences
from benchmarks.stacks import STACKS
from benchmarks.suites import Suite

__all__ = ["SUITE"]

UNIT = "µs CPU added to a request"

TEXT = """\
The application has routes with one path parameter and a small JSON answer. Each stack is built around it in a process
of its own, and requests go straight into the ASGI callable, each in a task, as a server would make them: no sockets, so
that nothing but the stacks differs. A round is a number of requests to all routes in turn; what counts is the CPU time
of the whole process, threads included, up to a fifth of a second after the last request, so that log lines and spans
that were put off are paid for; what the process does in that time without any request has been measured before, 30
times in pieces of a fifth of a second, and their median, for as long as the round lasts, is taken off. What happens
every few seconds comes in bursts that no median foresees: rounds are long, so that it weighs little in any of them.
**Added** is a stack's time less that of bare FastAPI in the same round.

Everything that a stack logs goes to the standard output, which is `/dev/null` for all.

- **Bedplate** is a `Service` with its defaults and an in-process `RateLimit`: request id, W3C trace context with 1 %
  of traces sampled, duration and sizes by route, active requests, a JSON access log, security headers, `RateLimit`
  headers.
- **The usual stack** is OpenTelemetry's FastAPI instrumentation with the SDK's default sampler (all), its recommended
  `BatchSpanProcessor`, and an exporter that forgets spans at once; prometheus-fastapi-instrumentator as its "fast
  track" shows it; asgi-correlation-id; an access log with structlog as its page on performance advises (orjson,
  `BytesLoggerFactory`, cached loggers) in a `BaseHTTPMiddleware`; slowapi's `SlowAPIMiddleware` with a default limit in
  memory that is never reached, and its headers off, which is its default.
- **The usual modern stack** is FastAPI's native OpenTelemetry with the SDK's `ParentBased(TraceIdRatioBased(0.01))` and
  the same processor and exporter, its metrics off, as the instrumentator counts already; the same instrumentator and
  asgi-correlation-id; an access log with python-json-logger as its quick start shows it, in a pure ASGI middleware;
  slowapi's `SlowAPIASGIMiddleware`.

Routes are added to the application itself: slowapi's default limits do not reach those of an included router."""


def run(lab: Lab) -> list[Row]:
    """Measure all rows."""
    rows = _one_route(lab)
    rows += _many_routes(lab)
    return rows


def _added(
    lab: Lab, routes: int, stacks: tuple[str, ...], rounds: int, requests: int
) -> tuple[dict[str, list[float]], dict[str, float]]:
    """Microseconds that each stack adds, by round, and the CPU seconds a second that it takes at rest."""
    made_by = {stack: ("benchmarks.driver:make", {"stack": stack, "routes": routes}) for stack in stacks}
    with lab.contestants(made_by) as contestants:
        idle = {stack: contestant() for stack, contestant in contestants.items()}
        seconds = lab.interleave(contestants, rounds, requests=requests)
    base = seconds["bare"]
    added = {
        stack: [value * 1e6 for value in (differences(seconds[stack], base) if stack != "bare" else base)]
        for stack in stacks
    }
    return added, idle


def _one_route(lab: Lab) -> list[Row]:
    lab.say("P1: a request's CPU, one route")
    added, idle = _added(lab, 1, tuple(STACKS), lab.scale(16, 8), lab.scale(2_000, 1_600))
    ours = Measure(STACKS["ours"], UNIT, Spread.of(added["ours"]))
    bare = Spread.of(added["bare"])
    rows = []
    for row, stack, part in (("P1a", "modern", 12), ("P1b", "usual", 40)):
        peer = Measure(STACKS[stack], UNIT, Spread.of(added[stack]))
        rows.append(
            Row(
                row,
                f"Everything on, 1 route, against {STACKS[stack]}",
                ours,
                (peer,),
                Goal("ratio", "<=", 1 / part, f"≤ 1/{part}"),
                ours.value / peer.value,
                (
                    f"A request in bare FastAPI takes {bare.median:.0f} µs.",
                    f"Share of a core at rest: {', '.join(f'{STACKS[s]} {idle[s]:.2%}' for s in ('ours', stack))}.",
                ),
            )
        )
    return rows


def _many_routes(lab: Lab) -> list[Row]:
    lab.say("P2: a request's CPU, 200 and 500 routes")
    rounds, requests = lab.scale(12, 5), lab.scale(1_600, 1_200)
    added, _ = _added(lab, 200, ("bare", "ours", "usual"), rounds, requests)
    ours = Measure(STACKS["ours"], UNIT, Spread.of(added["ours"]))
    usual = Measure(STACKS["usual"], UNIT, Spread.of(added["usual"]))
    rows = [
        Row(
            "P2a",
            "Everything on, 200 routes, against the usual stack",
            ours,
            (usual,),
            Goal("ratio", "<=", 1 / 30, "≤ 1/30"),
            ours.value / usual.value,
            (f"Bare FastAPI itself takes {Spread.of(added['bare']).median:.0f} µs with 200 routes.",),
        )
    ]
    few, many = _growth(lab, lab.scale(24, 8), lab.scale(800, 600))
    rows.append(
        Row(
            "P2b",
            "Everything on, 500 routes, against 1 route",
            Measure("Bedplate, 500 routes", UNIT, many),
            (Measure("Bedplate, 1 route", UNIT, few),),
            Goal("ratio", "<=", 1.2, "≤ 1.2 ×"),
            many.median / few.median,
        )
    )
    return rows


def _growth(lab: Lab, rounds: int, requests: int) -> tuple[Spread, Spread]:
    """What ours adds with one route and with 500, in the same rounds."""
    made_by = {
        f"{stack} {routes}": ("benchmarks.driver:make", {"stack": stack, "routes": routes})
        for routes in (1, 500)
        for stack in ("bare", "ours")
    }
    with lab.contestants(made_by) as contestants:
        seconds = lab.interleave(contestants, rounds, requests=requests)
    few, many = (
        Spread.of(value * 1e6 for value in differences(seconds[f"ours {routes}"], seconds[f"bare {routes}"]))
        for routes in (1, 500)
    )
    return few, many


SUITE = Suite("Added CPU of a request", ("P1a", "P1b", "P2a", "P2b"), TEXT, run)
