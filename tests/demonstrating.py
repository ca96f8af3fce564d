"""Demos that run as processes of their own, as ``make demo`` starts them."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2

__all__ = ["PATIENCE", "Demo", "address_of", "demos"]

#: The machine may be busy with other tests; nothing here waits longer than it has to.
PATIENCE = 90.0


@dataclass
class Demo:
    """A demo that runs as a process of its own."""

    process: subprocess.Popen[bytes]
    output: Path
    base: str = ""
    client: httpx2.Client = field(default_factory=lambda: httpx2.Client(timeout=30))

    def printed(self) -> str:
        return self.output.read_text()

    def until(self, condition: Callable[[], Any], what: str, patience: float = PATIENCE) -> Any:
        end = time.monotonic() + patience
        while not (found := condition()):
            assert self.process.poll() is None, f"The demo ended, waiting for {what}:\n{self.printed()}"
            assert time.monotonic() < end, f"Waited in vain for {what}:\n{self.printed()}"
            time.sleep(0.1)
        return found

    def get(self, path: str, **options: Any) -> httpx2.Response:
        return self.client.get(f"{self.base}{path}", **options)

    def end(self, sign: int) -> int:
        self.process.send_signal(sign)
        return self.process.wait(timeout=60)


@contextmanager
def demos(folder: Path) -> Iterator[Callable[..., Demo]]:
    """Start demos; whatever of them still runs at the end is killed."""
    started: list[Demo] = []

    def run(*arguments: str, **environment: str) -> Demo:
        output = folder / f"output-{len(started)}"
        with output.open("wb") as file:
            process = subprocess.Popen(
                [sys.executable, "-m", "demo", *arguments],
                stdout=file,
                stderr=subprocess.STDOUT,
                env={**os.environ, "COLUMNS": "200", **environment},
            )
        started.append(Demo(process, output))
        return started[-1]

    try:
        yield run
    finally:
        for demo in started:
            demo.client.close()
            if demo.process.poll() is None:
                demo.process.kill()
                demo.process.wait()


def address_of(demo: Demo) -> str:
    """Return the address that it printed, once it says that it is there."""
    found: re.Match[str] | None = demo.until(
        lambda: re.search(r"Starting at (http://127\.0\.0\.1:\d+) ", demo.printed()), "the address"
    )
    assert found is not None
    return found[1]
