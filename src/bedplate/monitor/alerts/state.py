"""How the alerts of one rule come, wait, fire and go: a pure function from one evaluation to the next.

It does what Prometheus does, case for case (``rules/alerting.go``, ``AlertingRule.Eval``), so that the same rule over
the same samples fires at the same moments in both:

- an alert is a label set: those of the sample without its name, then the rule's, then ``alertname``;
- a new one is pending, and fires at the first evaluation that comes ``for`` after it began, at once where that is 0;
- one whose condition no longer holds is forgotten while pending; while firing it goes on for ``keep_firing_for``, and
  then is resolved, and kept for a quarter of an hour so that everybody hears of it;
- two samples that become one label set are a fault of the rule, and change nothing.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace

from bedplate.component import Sample
from bedplate.monitor.alerts.notices import AlertState
from bedplate.problems import BedplateError

__all__ = ["RESOLVED_RETENTION", "Active", "DuplicateLabelsError", "Labels", "Step", "advanced", "digest", "identity"]

#: Sorted pairs of label and value.
Labels = tuple[tuple[str, str], ...]

#: Seconds for which a resolved alert is kept; Prometheus' own.
RESOLVED_RETENTION = 15 * 60.0


class DuplicateLabelsError(BedplateError):
    """Two samples of an evaluation have the same labels once those of the rule are added."""


@dataclass(frozen=True, slots=True)
class Active:
    """One label set of a rule; times are Unix seconds.

    :ivar since: when its condition began to hold. :ivar kept_since: since when it fires without its condition.
    """

    labels: Labels
    state: AlertState
    since: float
    value: float
    summary: str = ""
    fired_at: float | None = None
    resolved_at: float | None = None
    kept_since: float | None = None


@dataclass(frozen=True, slots=True)
class Step:
    """What an evaluation made of the alerts of a rule.

    :ivar active: the alerts now, resolved ones included. :ivar changes: those whose state is another one, with the
        state that they had; a pending one that went away comes with the state ``inactive``.
    """

    active: Mapping[Labels, Active]
    changes: tuple[tuple[AlertState, Active], ...]


def identity(sample: Mapping[str, str], rule: Mapping[str, str], name: str) -> Labels:
    """Return the labels of the alert that a sample makes."""
    labels = {label: value for label, value in sample.items() if label != "__name__"} | dict(rule)
    labels["alertname"] = name
    return tuple(sorted((label, value) for label, value in labels.items() if value))


def digest(labels: Iterable[tuple[str, str]], *, without: str = "") -> str:
    """Return a short name of a label set, the same everywhere and always; ``without`` names a label to leave out."""
    parts = [f"{label}\xff{value}" for label, value in sorted(labels) if label != without]
    return hashlib.blake2b("\xfe".join(parts).encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()


def advanced(
    active: Mapping[Labels, Active],
    found: Iterable[Sample],
    at: float,
    *,
    name: str,
    rule: Mapping[str, str],
    hold: float,
    keep: float,
    summary: Callable[[Mapping[str, str], float], str] = lambda labels, value: "",
    held: Callable[[Labels], bool] = lambda labels: False,
) -> Step:
    """Return the alerts of a rule after an evaluation.

    :param active: the alerts before it. :param found: the samples for which the condition holds at ``at``.
    :param rule: the labels that the rule adds. :param hold: its ``for``. :param keep: its ``keep_firing_for``.
    :param summary: fills in labels and value of a sample.
    :param held: says of an alert whether it stays as it is although its condition seems not to hold, since too few
        samples are there yet to know.
    :raises DuplicateLabelsError: when two samples have the same labels in the end.
    """
    present: dict[Labels, Active] = {}
    for sample in found:
        labels = identity(sample.labels, rule, name)
        if labels in present:
            shown = ", ".join(f'{label}="{value}"' for label, value in labels)
            raise DuplicateLabelsError(
                f"Two series of {name} have the same labels: {shown}.",
                "Keep a label that tells them apart, or aggregate over those that do not matter.",
            )
        text = summary(sample.labels, sample.value)
        present[labels] = Active(labels, "pending", at, sample.value, text)
    after: dict[Labels, Active] = {}
    changes: list[tuple[AlertState, Active]] = []
    for labels in {**active, **present}:
        known = active.get(labels)
        if known is not None and known.state == "resolved" and labels in present:
            known = None  # it is a new one, whatever was before
        before: AlertState = "inactive" if known is None else known.state
        now = _next(known, present.get(labels), at, hold, keep, held)
        if now is not None and now.state != "inactive":
            after[labels] = now
        if now is not None and now.state != before:
            changes.append((before, now))
    return Step(after, tuple(changes))


def _next(
    known: Active | None, found: Active | None, at: float, hold: float, keep: float, held: Callable[[Labels], bool]
) -> Active | None:
    """Return one alert after an evaluation; inactive when it is to be forgotten, None when nobody need know."""
    if found is not None:
        alert = found if known is None else replace(known, value=found.value, summary=found.summary, kept_since=None)
        if alert.state == "pending" and at - alert.since >= hold:
            return replace(alert, state="firing", fired_at=at)
        return alert
    assert known is not None
    if known.state == "resolved":
        assert known.resolved_at is not None
        return None if at - known.resolved_at > RESOLVED_RETENTION else known
    if held(known.labels):
        return known
    if known.state == "pending":
        return replace(known, state="inactive")
    if keep > 0:
        kept_since = at if known.kept_since is None else known.kept_since
        if at - kept_since < keep:
            return replace(known, kept_since=kept_since)
    return replace(known, state="resolved", resolved_at=at, kept_since=None)
