"""What follows from what: an outage of something shared makes alerts of everything that needs it.

Components say what they need, and an alert may say that it explains others (``Alert.explains``): while it fires, the
alerts about components that need its own are its consequences. They are shown below it, and nobody is told of them
apart, unless they are graver or go on when it has been over for a while. The process' own alerts and Alertmanager's
``inhibit_rules`` are both made of this.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from bedplate.component import Key, Spec
from bedplate.declarations import Severity
from bedplate.monitor.alerts.notices import AlertView

__all__ = ["AFTER", "Cause", "Causes", "because", "causes"]

SEVERITIES: tuple[Severity, ...] = ("critical", "warning", "info")

#: Seconds for which alerts may go on after what explains them: most expressions look back over five minutes.
AFTER = 600.0


@dataclass(frozen=True, slots=True)
class Cause:
    """An alert that explains others.

    :ivar name: its own. :ivar source: the label of its component. :ivar severity: of nothing graver.
    :ivar dependents: the labels of the component itself and of all that need it, however far away.
    """

    name: str
    source: str
    severity: Severity
    dependents: frozenset[str]

    def explains(self, alert: AlertView) -> bool:
        """Whether an alert is about one of its dependents, is not graver, and is not itself."""
        if (alert.name, alert.source) == (self.name, self.source):
            return False
        if SEVERITIES.index(alert.severity) < SEVERITIES.index(self.severity):
            return False
        return alert.source in self.dependents or alert.labels.get("component", "") in self.dependents


#: Causes in the order in which components start: what others need comes before them.
Causes = Sequence[Cause]


def causes(specs: Iterable[Spec]) -> Causes:
    """Return the explaining alerts of a service's components, which are given in the order of their start."""
    known = list(specs)
    needed: dict[Key, frozenset[Key]] = {}
    for spec in known:
        keys = [one.spec.key for one in spec.needs]
        needed[spec.key] = frozenset(keys).union(*(needed.get(key, frozenset()) for key in keys))
    return [
        Cause(
            alert.name,
            spec.label,
            alert.severity,
            frozenset(one.label for one in known if one.key == spec.key or spec.key in needed[one.key]),
        )
        for spec in known
        for alert in spec.alerts
        if alert.explains
    ]


def because(views: Sequence[AlertView], found: Causes, now: float, after: float = AFTER) -> list[AlertView]:
    """Return the alerts with the key of what each follows from: the first cause of the same instance.

    A cause explains what fired while it did, and what fired then and goes on for a while after it: expressions look
    back over minutes.

    :param views: firing, pending and lately resolved ones. :param now: Unix seconds. :param after: seconds.
    """
    ranks: Mapping[tuple[str, str], int] = {(one.name, one.source): rank for rank, one in enumerate(found)}
    fired = [
        (ranks[view.name, view.source], view)
        for view in views
        if view.fired_at is not None and (view.name, view.source) in ranks
    ]
    if not fired:
        return list(views)
    fired.sort(key=lambda each: (each[0], each[1].key))
    result = []
    for view in views:
        # Only what comes before it: two that explain each other would both be quiet.
        rank = ranks.get((view.name, view.source), len(found))
        causing = (one for place, one in fired if place < rank and found[place].explains(view))
        cause = next((one for one in causing if _meet(one, view, now, after)), None)
        result.append(view if cause is None else replace(view, because=cause.key))
    return result


def _meet(cause: AlertView, view: AlertView, now: float, after: float) -> bool:
    """Whether an alert fired while its cause did, and its cause has not been over for long while it goes on."""
    if cause.instance != view.instance or view.state == "inactive":
        return False
    if cause.resolved_at is None:
        return view.resolved_at is None or view.resolved_at >= (cause.fired_at or cause.since)
    began, ended = view.fired_at or view.since, view.resolved_at
    if began > cause.resolved_at or (ended is not None and ended < (cause.fired_at or cause.since)):
        return False
    return (now if ended is None else ended) - cause.resolved_at < after
