"""P4: one record of the access log."""

from __future__ import annotations

import gc
import logging
import time
from collections.abc import Callable

from benchmarks.lab import Lab
from benchmarks.results import Goal, Measure, Row
from benchmarks.spread import Spread
from benchmarks.stacks.app import ITEMS, SERVICE, path
from benchmarks.suites import Suite

__all__ = ["SUITE", "ours", "peer"]

UNIT = "µs CPU a record"

#: Seconds after which nothing that was put off is left to write.
SETTLE = 0.25

TEXT = """\
The same record from each: timestamp, level, logger, message, file, line and function, service, request, trace and span
id, user, method, route, path, status, duration, both sizes and the client. All go to the standard output, which is
`/dev/null`; the CPU time of all threads counts until everything is written. python-json-logger is set up as its quick
start shows it, with extra fields given as `extra`. Its orjson formatter is measured beside it, and does not decide."""

_FIELDS = "%(asctime)s %(levelname)s %(name)s %(message)s %(filename)s %(lineno)d %(funcName)s"


def run(lab: Lab) -> list[Row]:
    """Measure all three loggers."""
    lab.say("P4: a record of the access log")
    with lab.contestants(
        {
            "ours": (f"{__name__}:ours", {}),
            "json": (f"{__name__}:peer", {"formatter": "pythonjsonlogger.json:JsonFormatter"}),
            "orjson": (f"{__name__}:peer", {"formatter": "pythonjsonlogger.orjson:OrjsonFormatter"}),
        }
    ) as loggers:
        lab.interleave(loggers, 1, records=1_000)
        seconds = lab.interleave(loggers, lab.scale(15, 6), records=lab.scale(10_000, 4_000))
    spread = {name: Spread.of(value * 1e6 for value in values) for name, values in seconds.items()}
    measure = Measure("Bedplate", UNIT, spread["ours"])
    peers = (
        Measure("python-json-logger", UNIT, spread["json"]),
        Measure("python-json-logger with its orjson formatter", UNIT, spread["orjson"]),
    )
    return [
        Row(
            "P4",
            "Access-log record, against python-json-logger",
            measure,
            peers,
            Goal("ratio", "<=", 1 / 5, "≤ 1/5"),
            measure.value / peers[0].value,
        )
    ]


def ours() -> Callable[..., float]:
    """Make a contestant: Bedplate's access log and its writer."""
    from bedplate.telemetry.context import WorkContext
    from bedplate.telemetry.http.access import AccessLog
    from bedplate.telemetry.logs.outputs import StreamOutput
    from bedplate.telemetry.logs.writer import Writer

    writer = Writer()
    writer.start([StreamOutput("stdout")])
    log = AccessLog(writer, SERVICE)
    context = WorkContext("5f0c954d1e2f4d50", "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7")
    scopes = [{"path": path(0, item), "query_string": b""} for item in range(ITEMS)]
    shared = log.shared("GET", "/section-0/items/{item_id}", 200)  # kept by whoever logs, as long as the route lives

    def write(records: int) -> None:
        for number in range(records):
            log.write(logging.INFO, shared, context, scopes[number % ITEMS], 0.00123456, 0, 68, "203.0.113.9")

    return _timed(write)


def peer(formatter: str) -> Callable[..., float]:
    """Make a contestant: python-json-logger with one of its formatters."""
    from benchmarks.contestant import load
    from benchmarks.stacks.json_logger import json_logger

    log: logging.Logger = json_logger(_FIELDS, load(formatter))  # type: ignore[arg-type]
    paths = [path(0, item) for item in range(ITEMS)]

    def write(records: int) -> None:
        for number in range(records):
            log.info(
                "GET /section-0/items/{item_id} 200",
                extra={
                    "service": SERVICE,
                    "request_id": "5f0c954d1e2f4d50",
                    "trace_id": "4bf92f3577b34da6a3ce929d0e0e4736",
                    "span_id": "00f067aa0ba902b7",
                    "user_id": None,
                    "method": "GET",
                    "route": "/section-0/items/{item_id}",
                    "path": paths[number % ITEMS],
                    "status": 200,
                    "duration_ms": round(0.00123456 * 1e3, 3),
                    "request_size": 0,
                    "response_size": 68,
                    "client": "203.0.113.9",
                },
            )

    return _timed(write)


def _timed(write: Callable[[int], None]) -> Callable[..., float]:
    def carry_out(records: int) -> float:
        gc.collect()
        before = time.process_time()
        write(records)
        time.sleep(SETTLE)
        return (time.process_time() - before) / records

    return carry_out


SUITE = Suite("Access log", ("P4",), TEXT, run)
