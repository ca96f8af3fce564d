"""Alerts handed to an Alertmanager, as Prometheus hands them over: again and again while they fire.

Source: Alertmanager's API v2 and Prometheus' ``rules/alerting.go``. An alert without a word for longer than its
``endsAt`` is resolved, so what we send says when that is, and a process that dies lets its alerts end.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from bedplate.monitor.alerts.notices import AlertView, Notice
from bedplate.monitor.alerts.notify.channels import DeliveryError
from bedplate.monitor.alerts.notify.message import Links, excerpt
from bedplate.monitor.alerts.notify.posting import PostError, post
from bedplate.monitor.alerts.notify.threads import StuckError, Worker
from bedplate.settings.secret import Dsn

__all__ = ["AlertmanagerChannel", "payload"]

#: An alert of which nothing is heard for this many intervals is over.
_PATIENCE = 4


class AlertmanagerChannel:
    """Tells one Alertmanager.

    :param resend: seconds between two times that it hears of what fires. :param timeout: seconds for one request.
    """

    def __init__(self, name: str, url: Dsn, *, resend: float, timeout: float, links: Links | None = None) -> None:
        self.name = name
        self.resend = resend
        self._url = url.reveal().rstrip("/") + "/api/v2/alerts"
        self._timeout = timeout
        self._links = links
        self._worker: Worker[None] = Worker(f"notify-{name}")

    async def send(self, notices: Sequence[Notice], now: float) -> None:
        """Tell it of all alerts of these notices.

        :raises DeliveryError: when it did not take them.
        """
        document = [
            payload(alert, now, ends_in=_PATIENCE * self.resend, links=self._links)
            for notice in notices
            for alert in notice.alerts
            if alert.state in ("firing", "resolved")
        ]
        try:
            await self._worker.call(lambda: post(self._url, document, timeout=self._timeout / 2), self._timeout)
        except (PostError, StuckError) as error:
            raise DeliveryError(f"{self.name} did not take the alerts: {error}".rstrip(".") + ".") from None


def payload(alert: AlertView, now: float, *, ends_in: float, links: Links | None = None) -> dict[str, Any]:
    """Return an alert as Alertmanager's API has it; one that is resolved ends when it did.

    :param ends_in: seconds after which one that fires is over if nothing more is heard of it.
    """
    addresses = dict(links(alert)) if links is not None else {}
    annotations = {"summary": alert.summary, "value": f"{alert.value:.6g}"}
    if alert.section:
        annotations["runbook"] = excerpt(alert.section)
    annotations |= {f"{name}_url": url for name, url in addresses.items() if url}
    ends = alert.resolved_at if alert.state == "resolved" and alert.resolved_at is not None else now + ends_in
    document: dict[str, Any] = {
        "labels": {"alertname": alert.name, **alert.labels},
        "annotations": annotations,
        "startsAt": _timestamp(alert.fired_at if alert.fired_at is not None else alert.since),
        "endsAt": _timestamp(ends),
    }
    if addresses.get("dashboard"):
        document["generatorURL"] = addresses["dashboard"]
    return document


def _timestamp(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
