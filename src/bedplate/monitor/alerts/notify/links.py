"""The addresses that messages hold."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import quote

from bedplate.monitor.alerts.notices import AlertView
from bedplate.monitor.alerts.notify.message import Links

__all__ = ["links_to"]


def links_to(public_url: str, *, console: str = "/console", runbook_url: str = "") -> Links:
    """Return what gives the addresses of an alert.

    :param public_url: where people reach the service, with the service's path if it has one; without it there are no
        links into the service. :param console: where its console is, below that.
    :param runbook_url: where people reach the rendered runbooks, a page a service, as in Prometheus' annotations.
    """
    base, books = public_url.rstrip("/"), runbook_url.rstrip("/")

    def links(alert: AlertView) -> Mapping[str, str]:
        found = {}
        if books:
            found["runbook"] = f"{books}/{quote(alert.service)}.md#{quote(alert.name.lower())}"
        elif base:
            kind, _, name = alert.source.partition(":")
            found["runbook"] = f"{base}{console}/components/{quote(kind)}/{quote(name or 'default')}"
        if base:
            found["dashboard"] = f"{base}{console}/alerts"
        return found

    return links
