"""Runbooks: a page a service for the person on call, with a section for every alert."""

from __future__ import annotations

from collections.abc import Sequence

from bedplate.component import Spec
from bedplate.monitor.alerts import Rule
from bedplate.promql.selectors import scoped
from bedplate.render.grafana import Page, address
from bedplate.render.options import Options
from bedplate.render.subject import Subject
from bedplate.render.texts import readable
from bedplate.render.yaml_text import RENDERED

__all__ = ["runbook"]


def runbook(subject: Subject, pages: Sequence[Page], options: Options) -> str:
    """Return the runbook of a service, in Markdown."""
    parts = [
        f"<!-- {RENDERED} -->",
        f"# Runbook of {subject.title}\n",
        "What each alert means and what to do about it, the worst first.\n",
        _contents(subject),
    ]
    for spec in subject.specs:
        found = [rule for rule in subject.rules if rule.source == spec.label]
        if found:
            parts += (f"## {spec.label}\n", f"{spec.summary}{_degradation(spec)}\n")
            parts += (_section(rule, subject, pages, options) for rule in found)
        parts += (_objective(subject, spec, index) for index in range(len(spec.slos)))
    return "\n".join(parts)


def _contents(subject: Subject) -> str:
    order = ("critical", "warning", "info")
    rows = [
        f"| [{rule.name}](#{rule.name.lower()}) | {rule.alert.severity} | {rule.source} | {rule.group.name} "
        f"| {readable(rule.alert.summary).replace('|', chr(92) + '|')} |"
        for rule in sorted(subject.rules, key=lambda rule: order.index(rule.alert.severity))
    ]
    return "\n".join(
        ["| Alert | Severity | Component | Group | Meaning |", "| --- | --- | --- | --- | --- |", *rows, ""]
    )


def _section(rule: Rule, subject: Subject, pages: Sequence[Page], options: Options) -> str:
    alert = rule.alert
    when = "at once" if alert.for_ == "0s" else f"once it holds for {alert.for_}"
    where = "Only Prometheus evaluates it: the process that is gone cannot." if alert.external else ""
    return "\n".join(
        (
            f"### {rule.name}\n",
            f"{readable(alert.summary)}\n",
            f"{alert.severity.capitalize()}, {when}; looked at every {rule.group.interval}. {where}".rstrip() + "\n",
            f"{rule.section or 'Nothing is written about it.'}\n",
            f"```promql\n{rule.expr}\n```\n",
            f"[Dashboard]({address(rule, subject, pages, options)})\n",
        )
    )


def _objective(subject: Subject, spec: Spec, index: int) -> str:
    slo = spec.slos[index]
    return (
        f"### Objective: {slo.name}\n\n{slo.summary or slo.name}\n\n{slo.objective * 100:.6g} % over {slo.window}: "
        f"`{scoped(slo.good, subject.name)}` of `{scoped(slo.total, subject.name)}`.\n"
    )


def _degradation(spec: Spec) -> str:
    return f" While its backend is away: {spec.degradation.summary}" if spec.degradation else ""
