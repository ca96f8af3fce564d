"""What people are told of an alert, in words."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

from bedplate.clock import duration
from bedplate.declarations import Severity
from bedplate.monitor.alerts.notices import AlertView, Notice

__all__ = ["Kind", "Links", "Message", "compose", "duration", "excerpt", "identity", "test_message"]

#: ``late`` is a firing that was over before the channel could be told of it.
Kind = Literal["firing", "repeat", "resolved", "late", "test"]

#: Gives the addresses of an alert by what they lead to: ``runbook``, ``dashboard``.
Links = Callable[[AlertView], Mapping[str, str]]

_EXCERPT = 600
_INSTANCES = 10
_OWN = frozenset({"alertname", "severity", "source", "job", "instance"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """Something to be told.

    :ivar id: the same for the same news whoever tells it and however often: receivers can drop what they have.
    :ivar text: plain text in lines.
    """

    id: str
    kind: Kind
    severity: Severity
    title: str
    text: str


def identity(notice: Notice, kind: Kind, times: int) -> str:
    """Return the id of the news that a notice is, 16 hexadecimal digits.

    :param times: how often it was told before in this episode and status.
    """
    service = notice.lead.service
    parts = (service, notice.fingerprint, f"{notice.episode:.3f}", notice.status, str(times))
    return hashlib.sha256("\x00".join(parts).encode()).hexdigest()[:16]


def compose(notice: Notice, kind: Kind, now: float, *, times: int = 0, links: Links | None = None) -> Message:
    """Return what people should read of a notice."""
    lead = notice.lead
    identifier = identity(notice, kind, times)
    blocks = [
        lead.summary,
        "\n".join((_when(notice, kind, now), *_values(notice), *_facts(lead))),
        "\n".join(_help(lead, kind, links(lead) if links is not None else {})),
        f"Notice {identifier}",
    ]
    return Message(
        id=identifier,
        kind=kind,
        severity=lead.severity,
        title=f"[{_word(lead, kind)}] {lead.name} on {lead.service}",
        text="\n\n".join(block for block in blocks if block),
    )


def test_message(service: str, actor: str, now: float) -> Message:
    """Return a message that only shows that messages arrive."""
    return Message(
        id=hashlib.sha256(f"{service}\x00{actor}\x00{now}".encode()).hexdigest()[:16],
        kind="test",
        severity="info",
        title=f"[test] Notifications of {service}",
        text=f"{actor} asked at {_moment(now)} whether notifications of {service} arrive here. They do.",
    )


def excerpt(section: str, limit: int = _EXCERPT) -> str:
    """Return the beginning of a page of the runbook as plain text, cut where a paragraph or a sentence ends."""
    text = re.sub(r"\*\*(.+?)\*\*", r"\1", section)
    text = re.sub(r"\[([^\]]+)\]\([^)]*\)", r"\1", text)
    paragraphs = [" ".join(part.split()) for part in re.split(r"\n\s*\n", text) if part.strip()]
    kept = ""
    for paragraph in paragraphs:
        if kept and len(kept) + len(paragraph) + 1 > limit:
            return f"{kept} …"
        kept = f"{kept}\n{paragraph}" if kept else paragraph
    if len(kept) <= limit:
        return kept
    end = kept.rfind(". ", 0, limit)
    return f"{kept[: end + 1 if end > 0 else limit].rstrip()} …"


def _word(alert: AlertView, kind: Kind) -> str:
    return {
        "firing": alert.severity,
        "repeat": f"{alert.severity}, still firing",
        "late": f"{alert.severity}, resolved",
    }.get(kind, "resolved")


def _when(notice: Notice, kind: Kind, now: float) -> str:
    since = _moment(notice.episode)
    if notice.status == "firing":
        return f"Firing since {since}, for {duration(now - notice.episode)}."
    end = notice.resolved_at if notice.resolved_at is not None else now
    said = f"Fired from {since} to {_moment(end)}, for {duration(end - notice.episode)}."
    return f"{said} It could not be told of before." if kind == "late" else said


def _values(notice: Notice) -> list[str]:
    shown = [alert for alert in notice.alerts if alert.state == notice.status] or list(notice.alerts)
    if len(shown) == 1:
        where = f" on {shown[0].instance}" if shown[0].instance else ""
        return [f"Value: {shown[0].value:.6g}{where}"]
    lines = [f"Value: {alert.value:.6g} on {alert.instance or 'all'}" for alert in shown[:_INSTANCES]]
    return [*lines, f"… and {len(shown) - _INSTANCES} instances more"] if len(shown) > _INSTANCES else lines


def _facts(alert: AlertView) -> list[str]:
    labels = ", ".join(f"{name}={value}" for name, value in sorted(alert.labels.items()) if name not in _OWN)
    lines = [f"Severity: {alert.severity}, from {alert.source}"]
    return [*lines, f"Labels: {labels}"] if labels else lines


def _help(alert: AlertView, kind: Kind, links: Mapping[str, str]) -> list[str]:
    lines = []
    if kind in ("firing", "repeat") and alert.section:
        lines.append(excerpt(alert.section))
    lines += [f"{name.capitalize()}: {url}" for name, url in links.items() if url]
    if kind == "firing" or kind == "repeat":
        lines.append(f"To acknowledge it: bedplate alerts ack {alert.fingerprint}")
    return lines


def _moment(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
