"""All files of some services, by their path."""

from __future__ import annotations

from collections.abc import Sequence

from bedplate.monitor.panels import clashes
from bedplate.problems import BedplateError
from bedplate.render import alertmanager, compose, logs, prometheus
from bedplate.render.files import with_manifest
from bedplate.render.grafana import Page, address, pages, provisioning
from bedplate.render.grafana.dashboards import RUNBOOK, runbook_url
from bedplate.render.options import Options
from bedplate.render.pgbouncer import pgbouncer_files
from bedplate.render.readme import readme
from bedplate.render.recordings import GROUP, recording_file
from bedplate.render.redis import redis_files
from bedplate.render.runbooks import runbook
from bedplate.render.subject import Subject

__all__ = ["render"]

_KEEP_OUT = "*\n!.gitignore\n"


def render(subjects: Sequence[Subject], options: Options | None = None) -> dict[str, str]:
    """Return every file that watches these services, by its path; pure, and the same for the same arguments.

    :raises BedplateError: when declarations clash, two dashboards of one name say, when an alert does not fire on its
        own series, or when a service is named twice.
    """
    options = options or Options()
    names = [subject.name for subject in subjects]
    if not names or len(set(names)) != len(names):
        what = "No service is named." if not names else f"Two services are called {_twice(names)}."
        raise BedplateError(what, "Name each service once.")
    for subject in subjects:
        for clash in clashes(subject.specs):
            raise BedplateError(f"{subject.name}: {clash.component}: {clash.what}", clash.mend)
    containers = list({subject.container.name: subject.container for subject in subjects}.values())
    files = {
        "README.md": readme(subjects, containers, options),
        "prometheus/prometheus.yml": prometheus.configuration(subjects, options),
        "alertmanager/alertmanager.yml": alertmanager.configuration(subjects, options),
        "loki/loki.yml": logs.loki(),
        "alloy/config.alloy": logs.alloy(containers),
        "compose.yml": compose.compose(containers),
        "Dockerfile": compose.dockerfile(),
        "Dockerfile.dockerignore": compose.dockerignore(containers),
        ".gitignore": ".env\n",
        "secrets/.gitignore": _KEEP_OUT,
        **{f"grafana/{path}": text for path, text in provisioning(prometheus.scrape_interval(options)).items()},
    }
    for subject in subjects:
        files |= _of_service(subject, options)
    return with_manifest(files)


def _of_service(subject: Subject, options: Options) -> dict[str, str]:
    found = pages(subject, options)
    annotations = _annotations(subject, found, options)
    files = {f"grafana/dashboards/{subject.name}/{page.name}.json": page.text for page in found}
    rules = prometheus.rule_files(subject, options, annotations)
    files |= {f"prometheus/rules/{subject.name}/{group}.yml": text for group, text in rules.items()}
    if (recorded := recording_file(subject, options)) is not None:
        files[f"prometheus/rules/{subject.name}/_{GROUP}.yml"] = recorded
    if options.time_scale == 1:
        tests = prometheus.rule_tests(subject, annotations)
        files |= {f"prometheus/tests/{subject.name}/{group}.yml": text for group, text in tests.items()}
    files[f"runbooks/{subject.name}.md"] = runbook(subject, found, options)
    return files | redis_files(subject) | pgbouncer_files(subject)


def _annotations(subject: Subject, found: Sequence[Page], options: Options) -> dict[tuple[str, str], dict[str, str]]:
    book = next(page for page in found if page.name == RUNBOOK.name)
    return {
        (rule.source, rule.name): {
            "summary": rule.alert.summary,
            "runbook_url": runbook_url(rule, book, options),
            "dashboard_url": address(rule, subject, found, options),
        }
        for rule in subject.rules
    }


def _twice(names: Sequence[str]) -> str:
    return next(name for name in names if names.count(name) > 1)
