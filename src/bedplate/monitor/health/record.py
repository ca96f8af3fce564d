"""What is known of one probe: its status with hysteresis, and its recent past."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import Any, Literal

from bedplate.declarations import Probe

__all__ = ["Outcome", "ProbeRecord", "ProbeStatus", "Run", "Transition"]

Outcome = Literal["ok", "failed", "timeout", "hung"]
ProbeStatus = Literal["pending", "up", "down"]


@dataclass(frozen=True, slots=True)
class Run:
    """One run: when it began (Unix seconds), how long it took, what it said."""

    at: float
    seconds: float
    outcome: Outcome
    text: str = ""


@dataclass(frozen=True, slots=True)
class Transition:
    """A change of status: when, from and to what, how long the old one had lasted, and why."""

    at: float
    before: str
    after: str
    lasted: float
    reason: str = ""


@dataclass(slots=True)
class ProbeRecord:
    """The state machine of one probe: ``pending`` until the first verdict, then ``up`` or ``down``.

    It goes up after ``probe.successes`` good runs in a row (the very first time after one) and down after
    ``probe.failures`` bad ones.
    """

    component: str
    probe: Probe
    since: float
    keep: int = 60
    status: ProbeStatus = "pending"
    error: str = ""
    streak: int = 0
    runs: deque[Run] = field(default_factory=deque)
    transitions: deque[Transition] = field(default_factory=deque)

    def __post_init__(self) -> None:
        self.runs = deque(self.runs, maxlen=self.keep)
        self.transitions = deque(self.transitions, maxlen=self.keep)

    @property
    def is_up(self) -> bool:
        """Whether the last verdict was good."""
        return self.status == "up"

    def add(self, run: Run) -> Transition | None:
        """Take one run into account; return the change of status that it made, if any."""
        self.runs.append(run)
        good = run.outcome == "ok"
        self.streak = max(self.streak, 0) + 1 if good else min(self.streak, 0) - 1
        if not good:
            self.error = run.text
        elif self.is_up:
            self.error = ""
        first = self.status == "pending"
        if good and not self.is_up and (first or self.streak >= self.probe.successes):
            self.error = ""
            return self._become("up", run)
        if not good and self.status != "down" and -self.streak >= self.probe.failures:
            return self._become("down", run)
        return None

    def _become(self, status: ProbeStatus, run: Run) -> Transition:
        now = run.at + run.seconds
        transition = Transition(now, self.status, status, max(0.0, now - self.since), self.error)
        self.status, self.since = status, now
        self.transitions.append(transition)
        return transition

    def document(self, *, history: bool = False) -> dict[str, Any]:
        """Return the record as JSON-able data, with its past when asked for; times in Unix seconds."""
        last = self.runs[-1] if self.runs else None
        document: dict[str, Any] = {
            "name": self.probe.name,
            "summary": self.probe.summary,
            "status": self.status,
            "critical": self.probe.critical,
            "since": self.since,
            "error": self.error,
            "last_run": _plain(last) if last else None,
            "interval": self.probe.interval,
            "timeout": self.probe.timeout,
        }
        if history:
            document["runs"] = [_plain(run) for run in reversed(self.runs)]
            document["transitions"] = [_plain(transition) for transition in reversed(self.transitions)]
        return document


def _plain(value: Run | Transition) -> dict[str, Any]:
    return {name: getattr(value, name) for name in value.__slots__}
