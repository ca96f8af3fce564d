"""From declarations to checks: that every component runs, that what it declares is there, that nobody else gets in."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from functools import partial

import orjson

from bedplate.component import Environment, Spec
from bedplate.monitor.checks.items import Item, Value, item_of

__all__ = ["derived_checks"]

#: Seconds that an answer with everything may take: it is asked for once, and looked at by many checks.
_WHOLE = 5.0
#: Components whose paths are the same in every service, so that naming them gives nothing away.
_WELL_KNOWN = ("health", "management")


def derived_checks(specs: Iterable[Spec], *, prefix: str, environment: Environment) -> tuple[Item, ...]:
    """Return the checks of a service, those that its components declare among them; pure.

    :param specs: of all its components, in the order in which they start. :param prefix: of the management API.
    :param environment: where it runs; outside development nobody gets in without a token, and that is checked.
    """
    known = list(specs)
    own = [item_of(check, spec) for spec in known for check in spec.checks]
    derived = [item for spec in known for item in _of_component(spec, prefix, known)]
    closed = _closed(own) if environment in ("staging", "production") else ()
    return _grouped((*own, *derived, *_records(known, prefix), *closed))


def _grouped(items: Sequence[Item]) -> tuple[Item, ...]:
    """Return the checks of each group beside each other, groups in the order in which they first occur."""
    groups = {group: number for number, group in enumerate(dict.fromkeys(item.group for item in items))}
    return tuple(sorted(items, key=lambda item: groups[item.group]))


def _of_component(spec: Spec, prefix: str, specs: Sequence[Spec]) -> Iterator[Item]:
    item = partial(Item, source=spec.label, role="viewer", within=_WHOLE)
    yield item(
        name=f"{spec.label}.runs",
        group="components",
        summary=f"The component {spec.label} runs.",
        path=_detail(spec, prefix),
        values=(Value(path="state", equals="running", tolerated=("degraded",)),),
    )
    for probe in spec.probes:
        at = f"components.{{label={spec.label}}}.probes.{{name={probe.name}}}.status"
        yield item(
            name=f"{spec.label}.probe-{probe.name}",
            group="probes",
            summary=probe.summary or f"The probe {probe.name} of {spec.label} passes.",
            path=f"{prefix}/health/detailed",
            # The answer is 503 when a critical probe is down, and the reason is in it.
            expect=0,
            values=(Value(path=at, equals="up", tolerated=("pending",)),),
            optional=not probe.critical,
        )
    yield from _observability(spec, prefix, specs)


def _observability(spec: Spec, prefix: str, specs: Sequence[Spec]) -> Iterator[Item]:
    item = partial(Item, source=spec.label, role="viewer", within=_WHOLE, suite="observability")
    if spec.metrics:
        yield item(
            name=f"{spec.label}.metrics",
            group="metrics",
            summary=f"What {spec.label} measures is exposed.",
            path=f"{prefix}/metrics",
            # A family is exposed by name and type before it has its first series.
            contains=tuple(f"# TYPE {metric.name} {metric.type}" for metric in spec.metrics),
        )
    if spec.alerts:
        yield item(
            name=f"{spec.label}.alerts",
            group="alerts",
            summary=f"The alerts of {spec.label} are known, with their pages of the runbook.",
            path=_detail(spec, prefix),
            values=tuple(
                Value(path=f"alerts.{{name={alert.name}}}.severity", equals=alert.severity) for alert in spec.alerts
            ),
            fields=tuple(f"alerts.{{name={alert.name}}}.runbook" for alert in spec.alerts),
        )
    evaluated = tuple(_quoted(alert.name) for alert in spec.alerts if not alert.external)
    if evaluated and {"alerts", "prometheus_api"} <= {other.kind for other in specs}:
        yield item(
            name=f"{spec.label}.rules",
            group="alerts",
            summary=f"The alerts of {spec.label} are evaluated.",
            path=f"{prefix}/prometheus/api/v1/rules",
            contains=evaluated,
        )
    if spec.panels:
        yield item(
            name=f"{spec.label}.panels",
            group="panels",
            summary=f"The panels of {spec.label} are known.",
            path=_detail(spec, prefix),
            contains=tuple(_quoted(panel.title) for panel in spec.panels),
        )


def _detail(spec: Spec, prefix: str) -> str:
    return f"{prefix}/components/{spec.kind}/{spec.name}"


def _records(specs: Sequence[Spec], prefix: str) -> Iterator[Item]:
    """Yield the checks that a request can be found again, as far as the service is told to keep what is looked for."""
    settings = {spec.kind: spec.settings for spec in specs}
    http, kinds = settings.get("http"), settings.keys()
    item = partial(Item, group="records", suite="observability", role="viewer", path=f"{prefix}/health")
    if "logs" in kinds and getattr(http, "access_log", True):
        summary = "The log record of a request is found by its id."
        yield item(name="logs.request", source="logs", kind="log", summary=summary)
    if "traces" in kinds and getattr(http, "trust_parent", True):
        summary = "The trace of a request is found by its trace id."
        yield item(name="traces.request", source="traces", kind="trace", summary=summary)


def _closed(own: Iterable[Item]) -> Iterator[Item]:
    """Yield, for each path that needs a role, the check that it answers 401 without a token."""
    seen: set[str] = set()
    for item in own:
        if item.role is None or item.path in seen:
            continue
        seen.add(item.path)
        yield replace(
            item,
            name=f"{item.name}-closed",
            group="access",
            summary=f"{item.path} lets nobody in without a token.",
            suite="smoke",
            expect=401,
            fields=(),
            contains=(),
            anonymous=True,
            optional=False,
            public=item.source in _WELL_KNOWN,
        )


def _quoted(text: str) -> str:
    return orjson.dumps(text).decode()
