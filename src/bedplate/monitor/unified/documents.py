"""Alerts and silences as JSON; times in Unix seconds."""

from __future__ import annotations

from typing import Any

from bedplate.monitor.alerts.notices import AlertView, Silence, Transition

__all__ = ["of_alert", "of_silence", "of_transition"]


def of_alert(alert: AlertView, *, runbook: bool = True) -> dict[str, Any]:
    """Return an alert, perhaps without its page of the runbook."""
    who = alert.acknowledged
    document: dict[str, Any] = {
        "fingerprint": alert.fingerprint,
        "key": alert.key,
        "name": alert.name,
        "severity": alert.severity,
        "state": alert.state,
        "summary": alert.summary,
        "value": alert.value,
        "source": alert.source,
        "group": alert.group,
        "instance": alert.instance,
        "labels": dict(alert.labels),
        "since": alert.since,
        "fired_at": alert.fired_at,
        "resolved_at": alert.resolved_at,
        "acknowledged": {"actor": who.actor, "note": who.note, "at": who.at} if who is not None else None,
        "silenced_by": list(alert.silenced_by),
        "because": alert.because,
    }
    return {**document, "runbook": alert.section} if runbook else document


def of_transition(transition: Transition) -> dict[str, Any]:
    """Return a change of an alert: when, from which state, and the alert as it was then."""
    return {"at": transition.at, "before": transition.before, **of_alert(transition.alert, runbook=False)}


def of_silence(silence: Silence, now: float) -> dict[str, Any]:
    """Return a silence, and whether it is ``pending``, ``active`` or ``expired``."""
    state = "pending" if now < silence.starts else "active" if now < silence.ends else "expired"
    return {
        "id": silence.id,
        "state": state,
        "matchers": [str(matcher) for matcher in silence.matchers],
        "starts": silence.starts,
        "ends": silence.ends,
        "actor": silence.actor,
        "comment": silence.comment,
        "created": silence.created,
    }
