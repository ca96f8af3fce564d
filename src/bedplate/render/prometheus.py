"""Prometheus: what it scrapes, which rules it evaluates, and a test of each rule by promtool."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal

from bedplate.declarations import Series, seconds
from bedplate.monitor.alerts import Rule
from bedplate.monitor.alerts.trial import STEP, trial
from bedplate.problems import BedplateError
from bedplate.promql.selectors import scoped
from bedplate.render.expressions import duration, scaled
from bedplate.render.options import Options
from bedplate.render.subject import Subject
from bedplate.render.yaml_text import Block, yaml_text

__all__ = ["INTERVAL", "Annotate", "configuration", "rule_files", "rule_tests", "scrape_interval"]

#: Between two scrapes.
INTERVAL = "15s"
#: Below this a scrape would be all that a service does.
LEAST_INTERVAL = 0.5
#: What promtool judges with: 2.42 reads ranges as Prometheus 2 does. Our tests hold on both.
DIALECT: Literal[2, 3] = 2

#: What alerts carry for people, by source and name.
Annotate = Mapping[tuple[str, str], Mapping[str, str]]


def configuration(subjects: Sequence[Subject], options: Options) -> str:
    """Return ``prometheus.yml``."""
    interval = scrape_interval(options)
    timeout = interval if seconds(interval) < 10 else "10s"
    document = {
        "global": {
            "scrape_interval": interval,
            "scrape_timeout": timeout,
            "evaluation_interval": interval,
        },
        "rule_files": [f"rules/{subject.name}/*.yml" for subject in subjects],
        "alerting": {"alertmanagers": [{"static_configs": [{"targets": ["alertmanager:9093"]}]}]},
        "scrape_configs": [
            {"job_name": "prometheus", "static_configs": [{"targets": ["localhost:9090"]}]},
            *(_job(subject, options) for subject in subjects),
        ],
    }
    return yaml_text(document)


def scrape_interval(options: Options) -> str:
    """Return the time between two scrapes; at a small scale of time not all of it, since a scrape has its cost."""
    whole = round(1000 * max(seconds(INTERVAL) * min(options.time_scale, 1.0), LEAST_INTERVAL))
    return f"{whole // 1000}s" if whole % 1000 == 0 else f"{whole}ms"


def _job(subject: Subject, options: Options) -> dict[str, Any]:
    targets = options.targets.get(subject.name) or options.targets.get("") or (f"{subject.container.name}:8000",)
    job: dict[str, Any] = {"job_name": subject.name, "metrics_path": f"{subject.root}/metrics"}
    if options.token_file:
        job["authorization"] = {"credentials_file": options.token_file}
    return {**job, "static_configs": [{"targets": list(targets)}]}


def rule_files(subject: Subject, options: Options, annotations: Annotate) -> dict[str, str]:
    """Return the rules of a service, a file a group, by the group's name.

    :param annotations: for each alert what it carries for people beside its labels.
    """
    return {
        group.name: yaml_text(
            {
                "groups": [
                    {
                        "name": f"{subject.name}-{group.name}",
                        "interval": duration(group.interval, options.time_scale),
                        "rules": [_rule(rule, options, annotations[rule.source, rule.name]) for rule in found],
                    }
                ]
            }
        )
        for group, found in subject.groups.items()
    }


def _rule(rule: Rule, options: Options, annotations: Mapping[str, str]) -> dict[str, Any]:
    alert = rule.alert
    found: dict[str, Any] = {"alert": alert.name, "expr": Block(scaled(rule.expr, options.time_scale))}
    if seconds(alert.for_):
        found["for"] = duration(alert.for_, options.time_scale)
    if seconds(alert.keep_firing_for):
        found["keep_firing_for"] = duration(alert.keep_firing_for, options.time_scale)
    return {**found, "labels": dict(rule.labels), "annotations": dict(annotations)}


def rule_tests(subject: Subject, annotations: Annotate) -> dict[str, str]:
    """Return the tests of a service's rules by group: each fires on its series, with these labels and texts, and not
    on others.

    A file a group, since promtool evaluates at every step whatever is in the rule files that a test names. They are
    for the true scale of time alone: a rate is one a second, however long the windows are.

    :raises BedplateError: when an alert does not fire on the series that must make it fire, or does on those that must
        not.
    """
    files = {}
    for group, found in subject.groups.items():
        cases = [case for rule in found for case in _cases(rule, found, annotations)]
        if cases:
            rules = f"../../rules/{subject.name}/{group.name}.yml"
            files[group.name] = yaml_text(
                {"rule_files": [rules], "evaluation_interval": group.interval, "tests": cases}
            )
    return files


def _cases(rule: Rule, group: Sequence[Rule], annotations: Annotate) -> Iterator[dict[str, Any]]:
    if rule.alert.fires:
        moment = trial(rule, rule.alert.fires, dialect=DIALECT).last
        if moment is None:
            raise BedplateError(
                f"The alert {rule.name} does not fire on its `fires` series.",
                "Mend the expression, or give series that last long enough; `bedplate check` says more.",
            )
        # Components of one kind have alerts of one name, which the same series may make fire.
        fired = [
            (twin, firing)
            for twin in group
            if twin.name == rule.name
            for firing in trial(twin, rule.alert.fires, dialect=DIALECT).at(moment.at)
        ]
        expected = [
            {
                "exp_labels": {name: value for name, value in firing.labels.items() if name != "alertname"},
                "exp_annotations": {**annotations[twin.source, twin.name], "summary": firing.summary},
            }
            for twin, firing in fired
        ]
        test = {"eval_time": f"{round(moment.at)}s", "alertname": rule.name, "exp_alerts": expected}
        yield {**_input(f"{rule.name} fires", rule, rule.alert.fires), "alert_rule_test": [test]}
    if rule.alert.quiet:
        tried = trial(rule, rule.alert.quiet, dialect=DIALECT)
        if tried.fires:
            raise BedplateError(
                f"The alert {rule.name} fires on its `quiet` series.", "Mend the expression or the series."
            )
        end = round(tried.moments[-1].at)
        # One look at the end over all that happened: that it never fired, and not only that it does not now.
        which = f'alertname="{rule.name}",source="{rule.source}",alertstate="firing"'
        expr = f"count_over_time(ALERTS{{{which}}}[{end + 1}s])"
        quiet = {"expr": expr, "eval_time": f"{end}s", "exp_samples": []}
        yield {**_input(f"{rule.name} is quiet", rule, rule.alert.quiet), "promql_expr_test": [quiet]}


def _input(name: str, rule: Rule, series: Sequence[Series]) -> dict[str, Any]:
    return {
        "name": name,
        "interval": f"{round(STEP)}s",
        "input_series": [{"series": scoped(one.series, rule.service), "values": one.values} for one in series],
    }
