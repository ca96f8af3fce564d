"""Training in a process of its own.

Fitting keeps a core busy for seconds, holds the interpreter's lock between trees and starts OpenMP threads that spin
while they wait. In the service's process that would be felt by every request, so it happens in a child: one thread,
the lowest priority, ended with its parent. The model comes back as files, which hold no code
(:mod:`synfinance.fraud.store`).
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
import threading
from pathlib import Path

from bedplate.problems import BedplateError
from synfinance.generator import GeneratorConfig

__all__ = ["TrainingError", "train"]

#: One thread for each library that would otherwise take all cores.
_ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "POLARS_MAX_THREADS"), "1")


class TrainingError(BedplateError):
    """The child process made no model; the message holds the last line that it wrote."""


async def train(config: GeneratorConfig, path: Path) -> None:
    """Train a detector on what ``config`` generates and write it to ``path``.

    A caller that is cancelled ends the child.

    :raises TrainingError: when it fails.
    """
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "synfinance.components.trainer", str(path)),
        *(str(value) for value in (config.rows, config.seed, config.customers, config.fraud_rate)),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
        env={**os.environ, **_ONE_THREAD},
        # Ctrl-C at the terminal is for the parent, which ends its child in its own order.
        start_new_session=True,
    )
    try:
        assert process.stderr is not None
        said = await process.stderr.read()
        status = await process.wait()
    finally:
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()
    if status:
        lines = said.decode(errors="replace").strip().splitlines()
        raise TrainingError(f"Training failed (status {status}): {lines[-1] if lines else 'it said nothing'}.")


def main(arguments: list[str]) -> None:
    """Generate, train and save; the child's side of :func:`train`."""
    path, rows, seed, customers, fraud_rate = arguments
    threading.Thread(target=_end_with_parent, daemon=True).start()
    with contextlib.suppress(OSError, AttributeError):
        os.nice(10)
    from synfinance import fraud
    from synfinance.components.generation import past_of

    config = GeneratorConfig(rows=int(rows), seed=int(seed), customers=int(customers), fraud_rate=float(fraud_rate))
    _, past = past_of(config)
    detector, _ = fraud.train(past, "is_fraud", explain=False)
    detector.save(path)


def _end_with_parent() -> None:
    """Our standard input is a pipe that nobody writes to: it ends when the parent does, however it does."""
    # Not sys.stdin: its lock, held by this thread, would abort the interpreter when it ends by itself.
    while os.read(0, 1):
        pass
    os._exit(1)


if __name__ == "__main__":
    main(sys.argv[1:])
