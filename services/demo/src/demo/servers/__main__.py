"""``python -m demo.servers NAME…``: the servers of a production in a process beside the demo, which outlive nobody.

It writes a JSON document a line: ``ready`` once, with all addresses, then each server that has died or is back. It ends
when its standard input does, so that nothing is left behind even where the demo was killed; Ctrl-C is the demo's alone.
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
import threading
import time
from collections.abc import Sequence
from typing import Any

from bedplate.problems import BedplateError
from demo.servers.production import Production, production

__all__ = ["main", "supervise"]

#: Seconds between two looks at the servers.
_EVERY = 0.2


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the servers until the input ends; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m demo.servers")
    parser.add_argument("services", nargs="+", help="each gets a database of its name")
    parser.add_argument("--sharing", nargs="*", default=[], help="those that get a Redis")
    parser.add_argument("--tenants", nargs="*", default=[], help="those that have a role for their organisations")
    parser.add_argument("--back-after", type=float, default=20.0, help="seconds after which one that died is started")
    given = parser.parse_args(arguments)
    over = threading.Event()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda number, frame: over.set())
    threading.Thread(target=_watch_input, args=(over,), daemon=True).start()
    try:
        with production(given.services, given.sharing, given.tenants) as running:
            _say(ready=running.document)
            supervise(running, given.back_after, over)
    except BedplateError as error:
        _say(failed=str(error))
        return 1
    return 0


def supervise(running: Production, back_after: float, over: threading.Event) -> None:
    """Start what has died again after a while, so that people can see how services do without it; until it is over."""
    died: dict[str, float] = {}
    while not over.wait(_EVERY):
        for name, server in running.servers.items():
            if server.pid is not None:
                continue
            if name not in died:
                died[name] = time.monotonic()
                _say(died=name, seconds=back_after)
            elif time.monotonic() - died[name] >= back_after:
                try:
                    server.start()
                except BedplateError as error:
                    died[name] = time.monotonic()
                    _say(stays_away=name, reason=str(error))
                else:
                    del died[name]
                    _say(back=name, pid=server.pid)


def _watch_input(over: threading.Event) -> None:
    sys.stdin.read()
    over.set()


def _say(**document: Any) -> None:
    print(json.dumps(document), flush=True)


if __name__ == "__main__":
    sys.exit(main())
