"""The lab: how much is measured, where, and in which order."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

from benchmarks.contestant import Contestant, ContestantError

__all__ = ["Lab"]


@dataclass(frozen=True, slots=True)
class Lab:
    """How to measure.

    :param quick: measure a fraction, for a first look.
    :param say: tells a person what is being done.
    """

    quick: bool = False
    say: Callable[[str], None] = lambda text: print(text, file=sys.stderr, flush=True)

    @property
    def cores(self) -> list[int]:
        """The cores that we may use; none where the system does not say."""
        return sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []

    @property
    def core(self) -> int | None:
        """The core on which contestants take turns: the last, as the first serves most interrupts."""
        return self.cores[-1] if self.cores else None

    @property
    def other_core(self) -> int | None:
        """Another core, for what is not measured."""
        return self.cores[0] if self.cores else None

    def scale(self, full: int, quick: int) -> int:
        """The number of rounds, requests or rows for this run."""
        return quick if self.quick else full

    @contextmanager
    def contestants(
        self, made_by: Mapping[str, tuple[str, Mapping[str, Any]]], *, core: int | None = None
    ) -> Iterator[dict[str, Contestant]]:
        """Start contestants by name; all on one core, as they take turns."""
        with ExitStack() as stack:
            chosen = self.core if core is None else core
            processes = {name: Contestant(maker, given, core=chosen) for name, (maker, given) in made_by.items()}
            for process in processes.values():
                stack.enter_context(process)
            yield processes
            for name, process in processes.items():
                if process.complaints:
                    raise ContestantError(f"{name} was not at ease, so its numbers mean nothing:\n{process.complaints}")

    @staticmethod
    def interleave(contestants: Mapping[str, Contestant], rounds: int, **command: Any) -> dict[str, list[Any]]:
        """Give all the same command in turns, A B C A B C …, and return each one's results by round."""
        results: dict[str, list[Any]] = {name: [] for name in contestants}
        for number in range(rounds):
            # Every other round runs backwards: nobody always comes after the same one.
            order = list(contestants)
            for name in order if number % 2 == 0 else reversed(order):
                results[name].append(contestants[name](**command))
        return results
