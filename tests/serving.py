"""A service under `bedplate run`, in processes of its own, for tests of what only processes can show."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx2
import psutil

__all__ = ["APP", "Running", "free_port", "run"]

APP = '''
import asyncio, os
from contextlib import asynccontextmanager
from fastapi import FastAPI
from bedplate.component import Spec
from bedplate.service import Service
from bedplate.settings import Settings

app = FastAPI()

@app.get("/items/{item}")
async def item(item: int) -> dict[str, int]:
    return {"item": item, "pid": os.getpid()}

@app.get("/boom")
async def boom() -> None:
    raise RuntimeError("boom with card 4111 1111 1111 1111")

@app.get("/slow")
async def slow() -> dict[str, str]:
    print("slow begins", flush=True)
    await asyncio.sleep(1.0)
    return {"slow": "done"}

class Start:
    """Starts once there is a file, or fails, as the environment says."""

    @property
    def spec(self):
        return Spec(kind="start", summary="A slow start.")

    @asynccontextmanager
    async def lifespan(self, host):
        while "START_AFTER" in os.environ and not os.path.exists(os.environ["START_AFTER"]):
            await asyncio.sleep(0.02)
        if "START_FAILS" in os.environ:
            raise ConnectionError("no route to host")
        yield

def build(settings: Settings) -> Service:
    return Service("shop", app, [Start()], settings=settings)
'''


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Running:
    """A `bedplate run` in a process of its own."""

    def __init__(self, process: subprocess.Popen[bytes], port: int, log: Path) -> None:
        self.process = process
        self.port = port
        self._log = log
        self.client = httpx2.Client(base_url=f"http://127.0.0.1:{port}", timeout=30)

    @property
    def log(self) -> str:
        return self._log.read_text()

    def get(self, path: str, **options: Any) -> httpx2.Response:
        return self.client.get(path, **options)

    def metric(self, pattern: str) -> float:
        lines = self.get("/metrics").text.splitlines()
        return sum(float(line.rpartition(" ")[2]) for line in lines if re.match(pattern, line))

    def eventually(self, condition: Callable[[], Any], seconds: float = 60.0) -> Any:
        end = time.monotonic() + seconds
        while True:
            try:
                if result := condition():
                    return result
            except (httpx2.HTTPError, OSError):
                pass
            assert self.process.poll() is None, f"it ended with {self.process.returncode}:\n{self.log[-3000:]}"
            assert time.monotonic() < end, f"not within {seconds} s:\n{self.log[-3000:]}"
            time.sleep(0.1)

    def ready(self) -> None:
        self.eventually(lambda: self.get("/readyz").status_code == 200)

    def workers(self) -> list[int]:
        found = subprocess.run(
            ["pgrep", "-P", str(self.process.pid), "-f", "role web"], capture_output=True, check=False
        )
        return [int(pid) for pid in found.stdout.split()]


@contextmanager
def run(
    tmp_path: Path, *options: str, target: str = "shop:build", port: str = "", **environment: str
) -> Iterator[Running]:
    """Run :data:`APP`, or another target in ``tmp_path``, while inside."""
    (tmp_path / "shop.py").write_text(APP)
    number, log = int(port or free_port()), tmp_path / "log"
    command = [sys.executable, "-m", "bedplate.cli", "run", target, "--port", str(number), *options]
    env = {**os.environ, "TMPDIR": str(tmp_path), **environment}
    with log.open("wb") as file:
        process = subprocess.Popen(command, cwd=tmp_path, env=env, stdout=file, stderr=file)
    running = Running(process, number, log)
    try:
        yield running
    finally:
        running.client.close()
        if process.poll() is None:
            parent = psutil.Process(process.pid)
            family = [*parent.children(recursive=True), parent]
            process.terminate()
            try:
                process.wait(60)
            except subprocess.TimeoutExpired:
                # Workers whose parent dies drain, for as long as the test has said.
                for one in family:
                    with suppress(psutil.NoSuchProcess):
                        one.kill()
                process.wait()
