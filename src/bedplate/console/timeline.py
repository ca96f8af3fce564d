"""What changed lately, on one line of time: starts, settings, actions, what people said, alerts, health."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from bedplate.console.interfaces import Change, Sources
from bedplate.monitor.alerts.notices import AlertView

__all__ = ["Timeline"]

_KEPT = 200
#: What people are told of; that something is pending is told by the alerts' own page.
_TOLD = ("firing", "resolved")
_NEVER = (("pending", "resolved"), ("inactive", "resolved"))


class Timeline:
    """Keeps what nobody else remembers, and gathers the rest.

    :param now: Unix seconds.
    """

    def __init__(self, sources: Sources, now: Callable[[], float]) -> None:
        self._sources = sources
        self._now = now
        self._noted: deque[Change] = deque(maxlen=_KEPT)

    def note(self, kind: str, text: str, *, tone: str = "", path: str = "", actor: str = "") -> None:
        """Remember a change that happened now."""
        self._noted.append(Change(self._now(), kind, text, tone, path, actor))

    def settings_changed(self, old: Any, new: Any, changed: frozenset[str]) -> None:
        """Remember a reload of the settings; it is a subscriber of theirs."""
        names = sorted(changed)
        told = ", ".join(names[:4]) + (f" and {len(names) - 4} more" if len(names) > 4 else "")
        self.note("settings", f"Settings changed: {told}", path="/settings")

    async def changes(self, limit: int = 20) -> list[Change]:
        """Return the latest changes, newest first."""
        found = [*self._noted, *_of_health(self._sources.health.report(history=True))]
        if self._sources.alerts is not None:
            told = [one for one in await self._sources.alerts.history(4 * limit) if one.alert.state in _TOLD]
            found += [_of_transition(one.alert, one.at) for one in told if (one.before, one.alert.state) not in _NEVER]
        if self._sources.audit is not None:
            found += [_of_record(record) for record in await self._sources.audit.latest(limit)]
        found.sort(key=lambda change: change.at, reverse=True)
        return found[:limit]


def _of_health(report: Mapping[str, Any]) -> Iterable[Change]:
    tones = {"healthy": "good", "degraded": "warn", "unhealthy": "bad", "failed": "bad"}
    for one in report.get("transitions", ()):
        reason = f": {one['reason']}" if one["reason"] and one["after"] != "healthy" else ""
        text = f"The service became {one['after']}{reason}"
        yield Change(float(one["at"]), "health", text, tones.get(one["after"], ""), "/health")


def _of_transition(alert: AlertView, at: float) -> Change:
    tone = {"firing": {"critical": "bad", "warning": "warn"}.get(alert.severity, "info"), "resolved": "good"}
    words = {"firing": "fires", "resolved": "is resolved", "pending": "is pending", "inactive": "went away"}
    text = f"{alert.name} {words[alert.state]}"
    return Change(at, "alerts", text, tone.get(alert.state, ""), f"/alerts/{alert.key}")


def _of_record(record: Mapping[str, Any]) -> Change:
    outcome = str(record.get("outcome", "done"))
    what = f"{record.get('action')} on {record.get('component')}"
    text = (
        f"{record.get('actor')} did {what}" if outcome == "done" else f"{record.get('actor')} tried {what}: {outcome}"
    )
    tone = "" if outcome == "done" else "warn"
    return Change(float(record.get("at", 0.0)), "action", text, tone, "/audit", str(record.get("actor", "")))
