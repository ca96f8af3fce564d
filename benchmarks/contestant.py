"""Contestants: each a Python process of its own, so that patches, providers and caches of one never meet another.

The process imports a *maker*, ``module:function``, calls it once with its arguments, and from then on answers commands:
each is one call of what the maker returned. Between two commands it sleeps, so contestants can take turns in one run.
"""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import orjson

__all__ = ["Contestant", "ContestantError", "load", "pin"]

ROOT = Path(__file__).parent.parent

#: Variables that would configure a peer, or us, behind the benchmark's back.
_FOREIGN = ("BEDPLATE_", "OTEL_", "PROMETHEUS_", "FASTAPI_")


class ContestantError(RuntimeError):
    """A contestant could not be made or could not do what it was told; the message carries its traceback."""


class Contestant:
    """A process that measures one thing.

    :param maker: ``module:function``; its keyword arguments are ``arguments``.
    :param core: the core to run on, None for any. :param environment: further variables of the process.
    """

    def __init__(
        self,
        maker: str,
        arguments: Mapping[str, Any] | None = None,
        *,
        core: int | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(_FOREIGN)}
        self.maker = maker
        self._complaints = tempfile.TemporaryFile()  # noqa: SIM115 - closed in `close`
        self._process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.contestant", maker],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._complaints,
            cwd=ROOT,
            env={**inherited, **(environment or {})},
        )
        self._tell({"arguments": dict(arguments or {}), "core": core})

    def __enter__(self) -> Self:
        self.wait()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    @property
    def complaints(self) -> str:
        """The end of what it wrote to the standard error; a contestant that measures what it should writes nothing."""
        self._complaints.seek(max(0, self._complaints.seek(0, os.SEEK_END) - 4_000))
        return self._complaints.read().decode(errors="replace").strip()

    def __call__(self, **command: Any) -> Any:
        """Have one command carried out and return its result. Raises ContestantError."""
        self._tell(command)
        return self.wait()

    def wait(self) -> Any:
        """Return the answer to what was told last. Raises ContestantError."""
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise self._ended()
        answer = orjson.loads(line)
        if "error" in answer:
            raise ContestantError(f"{self.maker} failed:\n{answer['error']}")
        return answer["result"]

    def close(self) -> None:
        """End the process; it gets a moment to clean up."""
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.close()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process.stdout.close()
        self._complaints.close()

    def _tell(self, message: Mapping[str, Any]) -> None:
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(orjson.dumps(message) + b"\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            raise self._ended() from None

    def _ended(self) -> ContestantError:
        return ContestantError(f"{self.maker} ended with exit code {self._process.wait()}.\n{self.complaints}")


def pin(core: int | None) -> None:
    """Keep this process on one core, where the system can do that."""
    if core is not None and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {core})


def load(target: str) -> Callable[..., Any]:
    """Import what ``module:name`` names."""
    module, _, name = target.partition(":")
    found: Callable[..., Any] = getattr(importlib.import_module(module), name)
    return found


def main(arguments: Sequence[str]) -> None:
    """Serve commands until the standard input ends."""
    import traceback

    # The standard output is every stack's log, and goes where no disk has to be waited for.
    answers = os.fdopen(os.dup(1), "wb", buffering=0)
    with Path(os.devnull).open("wb") as nothing:
        os.dup2(nothing.fileno(), 1)
    carry_out: Callable[..., Any] | None = None
    while line := sys.stdin.buffer.readline():
        message = orjson.loads(line)
        try:
            answer: dict[str, Any]
            if carry_out is None:
                pin(message["core"])
                carry_out = load(arguments[0])(**message["arguments"])
                answer = {"result": None}
            else:
                answer = {"result": carry_out(**message)}
        except Exception:
            answer = {"error": traceback.format_exc()}
        answers.write(orjson.dumps(answer) + b"\n")
    sys.stdout.flush()
    os._exit(0)


if __name__ == "__main__":
    main(sys.argv[1:])
