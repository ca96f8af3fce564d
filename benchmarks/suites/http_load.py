"""P3: requests a second over HTTP."""

from __future__ import annotations

import contextlib
import http.client
import os
import re
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Callable
from typing import Any

from benchmarks.contestant import pin
from benchmarks.lab import Lab
from benchmarks.results import Goal, Measure, Row
from benchmarks.spread import Spread
from benchmarks.stacks import STACKS, build
from benchmarks.stacks.app import path
from benchmarks.suites import Suite

__all__ = ["SUITE", "make", "rate_of"]

UNIT = "requests/s"
CONNECTIONS = 32

#: Seconds in which any request must be answered, however busy the machine is.
PATIENCE = 10

TEXT = """\
One uvicorn process (uvloop, httptools, its own access log off) on one core, `wrk` with 32 connections on another, over
loopback; for Bedplate with the protocol class that `bedplate run` gives it. All stacks' servers run at once and are
loaded in turns. What counts is the share of bare FastAPI's requests a second that a stack keeps, round by round."""

_RATE = re.compile(r"Requests/sec:\s+([\d.]+)")
_FAILURES = re.compile(r"Non-2xx or 3xx responses|Socket errors")


def make(stack: str) -> Callable[..., Any]:
    """Make a contestant: a uvicorn server in a thread of the process; a command returns its port and CPU time."""
    import uvicorn

    from bedplate.service.protocol import HttpProtocol

    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    http: Any = HttpProtocol if stack == "ours" else "httptools"
    config = uvicorn.Config(build(stack, 1), loop="uvloop", http=http, access_log=False, log_level="warning")
    server = uvicorn.Server(config)
    threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True).start()

    def carry_out() -> dict[str, Any]:
        return {"port": listener.getsockname()[1], "started": server.started, "cpu": time.process_time()}

    return carry_out


def run(lab: Lab) -> list[Row]:
    """Load all stacks' servers in turns."""
    wrk = shutil.which("wrk")
    if wrk is None:
        raise RuntimeError("wrk is not installed. Run `tools/servers.sh wrk`, or ask for rows without P3.")
    lab.say("P3: requests a second over HTTP")
    rounds, seconds = lab.scale(5, 3), lab.scale(2, 1)
    rates: dict[str, list[float]] = {stack: [] for stack in STACKS}
    costs: dict[str, list[float]] = {stack: [] for stack in STACKS}
    with lab.contestants({stack: (f"{__name__}:make", {"stack": stack}) for stack in STACKS}) as servers:
        urls = {}
        for stack, server in servers.items():
            deadline = time.monotonic() + 20
            while not (state := server())["started"]:
                if time.monotonic() > deadline:
                    raise RuntimeError(f"the server of {STACKS[stack]} did not start within 20 s")
                time.sleep(0.05)
            urls[stack] = f"http://127.0.0.1:{state['port']}{path(0)}"
            # A server may acknowledge its start and answer 503 until it is ready.
            while not _answers(state["port"]):
                if time.monotonic() > deadline:
                    raise RuntimeError(f"the server of {STACKS[stack]} does not answer its own route with 200")
                time.sleep(0.05)
            _load(wrk, urls[stack], 1, lab.other_core)
        for number in range(rounds):
            order = list(servers) if number % 2 == 0 else list(reversed(servers))
            for stack in order:
                before = servers[stack]()["cpu"]
                rate = _load(wrk, urls[stack], seconds, lab.other_core)
                rates[stack].append(rate)
                costs[stack].append((servers[stack]()["cpu"] - before) / (rate * seconds))
    kept = {
        stack: Spread.of(rate / bare for rate, bare in zip(rates[stack], rates["bare"], strict=True))
        for stack in STACKS
    }
    measures = {stack: Measure(STACKS[stack], UNIT, Spread.of(values)) for stack, values in rates.items()}
    others = ", ".join(f"{STACKS[stack]} {kept[stack].median:.0%}" for stack in ("modern", "usual"))
    cpu = ", ".join(f"{name} {Spread.of(costs[stack]).median * 1e6:.0f} µs" for stack, name in STACKS.items())
    return [
        Row(
            "P3",
            "Requests/s kept over HTTP, against bare FastAPI",
            measures["ours"],
            (measures["bare"], measures["modern"], measures["usual"]),
            Goal("ratio", ">=", 0.85, "≥ 85 %"),
            kept["ours"].median,
            (
                f"Of bare FastAPI's requests a second, Bedplate keeps {kept['ours'].median:.0%}, {others}.",
                f"The server's CPU time for a request: {cpu}.",
            ),
        )
    ]


def _answers(port: int) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
    with contextlib.closing(connection):
        connection.request("GET", path(0))
        return connection.getresponse().status == 200


def _load(wrk: str, url: str, seconds: int, core: int | None) -> float:
    """Load a server and return its requests a second. Raises RuntimeError when any request failed."""
    command = [wrk, "--threads", "1", "--connections", str(CONNECTIONS), "--timeout", f"{PATIENCE}s"]
    command += ["--duration", f"{seconds}s", url]
    before = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else None
    pin(core)  # a child inherits it
    try:
        output = subprocess.run(
            command, capture_output=True, text=True, check=True, timeout=seconds + 2 * PATIENCE
        ).stdout
    finally:
        if before is not None:
            os.sched_setaffinity(0, before)
    rate = rate_of(output)
    if rate is None:
        raise RuntimeError(f"wrk did not get good answers from {url}:\n{output}")
    return rate


def rate_of(output: str) -> float | None:
    """The requests a second that wrk reports; None when any of them failed."""
    rate = _RATE.search(output)
    return None if rate is None or _FAILURES.search(output) else float(rate[1])


SUITE = Suite("Requests a second", ("P3",), TEXT, run)
