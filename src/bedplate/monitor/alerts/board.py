"""Everybody's alerts side by side: ours from memory, other instances' from their rows, with what people did to them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import orjson

from bedplate.monitor.alerts.matching import matches
from bedplate.monitor.alerts.notices import Acknowledgement, AlertView, Notice, Sent, Silence
from bedplate.monitor.alerts.rules import Rule
from bedplate.monitor.alerts.state import Active, Labels, digest
from bedplate.monitor.alerts.store import Row

__all__ = ["FLEET", "active_of", "columns_of", "judged", "key_of", "notices_of", "view_of", "view_of_row"]

#: The owner of alerts that are evaluated over all instances at once.
FLEET = "fleet"

_SEVERITIES = ("critical", "warning", "info")
_STATES = ("firing", "pending", "resolved", "inactive")


def key_of(labels: Labels, owner: str) -> str:
    """Return what tells an alert from all others, and an instance's from another's."""
    return digest({"instance": owner, **dict(labels)}.items())


def view_of(rule: Rule, alert: Active, owner: str) -> AlertView:
    """Return an alert of ours as others see it; what people did to it is not in it yet."""
    return AlertView(
        key=key_of(alert.labels, owner),
        fingerprint=digest(alert.labels, without="instance"),
        name=rule.name,
        service=rule.service,
        source=rule.source,
        group=rule.group.name,
        severity=rule.alert.severity,
        state=alert.state,
        labels=dict(alert.labels),
        instance="" if owner == FLEET else owner,
        summary=alert.summary,
        value=alert.value,
        since=alert.since,
        fired_at=alert.fired_at,
        resolved_at=alert.resolved_at,
        keeps_firing_since=alert.kept_since,
        section=rule.section,
    )


def view_of_row(row: Row, sections: Mapping[tuple[str, str], str]) -> AlertView:
    """Return an alert from its row, of the current ones or of the history."""
    return AlertView(
        key=row["key"],
        fingerprint=row["fingerprint"],
        name=row["name"],
        service=row["service"],
        source=row["source"],
        group=row["alert_group"],
        severity=row["severity"],
        state=row["state"],
        labels=orjson.loads(row["labels"]),
        instance="" if row["owner"] == FLEET else row["owner"],
        summary=row["summary"],
        value=_value(row["value"]),
        since=row["since"],
        fired_at=row["fired_at"],
        resolved_at=row["resolved_at"],
        keeps_firing_since=row.get("kept_since"),
        section=sections.get((row["name"], row["source"]), ""),
    )


def active_of(row: Row) -> Active:
    """Return an alert as the engine keeps it."""
    return Active(
        labels=tuple(sorted(orjson.loads(row["labels"]).items())),
        state=row["state"],
        since=row["since"],
        value=_value(row["value"]),
        summary=row["summary"],
        fired_at=row["fired_at"],
        resolved_at=row["resolved_at"],
        kept_since=row["kept_since"],
    )


def _value(value: float | None) -> float:
    return float("nan") if value is None else value


def columns_of(view: AlertView) -> dict[str, Any]:
    """Return what the rows of the current alerts and of the history have in common."""
    return {
        "fingerprint": view.fingerprint,
        "name": view.name,
        "source": view.source,
        "alert_group": view.group,
        "severity": view.severity,
        "state": view.state,
        "labels": orjson.dumps(dict(view.labels)).decode(),
        "summary": view.summary,
        "value": view.value,
        "since": view.since,
        "fired_at": view.fired_at,
        "resolved_at": view.resolved_at,
    }


def judged(
    views: Iterable[AlertView], silences: Iterable[Silence], acknowledgements: Mapping[str, Acknowledgement], now: float
) -> list[AlertView]:
    """Return the alerts with what people did to them, the gravest first."""
    in_force = [silence for silence in silences if silence.starts <= now < silence.ends]
    result = [
        replace(
            view,
            silenced_by=tuple(silence.id for silence in in_force if matches(silence.matchers, view.labels)),
            acknowledged=acknowledgements.get(view.fingerprint) if view.state in ("pending", "firing") else None,
        )
        for view in views
    ]
    return sorted(
        result,
        key=lambda view: (
            _STATES.index(view.state),
            _SEVERITIES.index(view.severity),
            view.fired_at or view.since,
            view.name,
            view.key,
        ),
    )


def notices_of(
    views: Sequence[AlertView], episodes: Mapping[str, float], sent: Mapping[str, Mapping[str, Sent]]
) -> list[Notice]:
    """Return what people should know of, one a fingerprint, in the order of the alerts.

    :param episodes: by the key of an alert, when the firing that it belongs to began, on whichever instance.
    """
    by_fingerprint: dict[str, list[AlertView]] = {}
    for view in views:
        if view.state == "firing" or (view.state == "resolved" and view.fired_at is not None):
            by_fingerprint.setdefault(view.fingerprint, []).append(view)
    return [_notice(name, group, episodes, sent.get(name, {})) for name, group in by_fingerprint.items()]


def _notice(
    fingerprint: str, views: Sequence[AlertView], episodes: Mapping[str, float], sent: Mapping[str, Sent]
) -> Notice:
    firing = [view for view in views if view.state == "firing"]
    began = [episodes.get(view.key, view.fired_at or view.since) for view in firing or views]
    if firing:
        rest = [view for view in views if view.state != "firing"]
        return Notice(
            fingerprint=fingerprint, status="firing", episode=min(began), alerts=(*firing, *rest), sent=dict(sent)
        )
    ended = [view.resolved_at for view in views if view.resolved_at is not None]
    latest = sorted(views, key=lambda view: view.resolved_at or 0.0, reverse=True)
    return Notice(
        fingerprint=fingerprint,
        status="resolved",
        episode=max(began),
        alerts=tuple(latest),
        resolved_at=max(ended, default=None),
        sent=dict(sent),
    )
