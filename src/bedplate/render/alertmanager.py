"""Alertmanager: who hears of what, what belongs together, and what need not be said beside something worse."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

from bedplate.monitor.alerts.causes import SEVERITIES, causes
from bedplate.render.expressions import duration
from bedplate.render.options import Options
from bedplate.render.subject import Subject
from bedplate.render.yaml_text import Block, yaml_text

__all__ = ["configuration"]

_SLACK_FILE = "/run/secrets/slack-webhook-url"

_TITLE = (
    '{{ .Status | toUpper }}{{ if eq .Status "firing" }} ({{ .Alerts.Firing | len }}){{ end }}: '
    "{{ .CommonLabels.job }} {{ .CommonLabels.alertname }}"
)
_TEXT = """{{ range .Alerts }}{{ .Annotations.summary }}
<{{ .Annotations.runbook_url }}|Runbook> · <{{ .Annotations.dashboard_url }}|Dashboard>
{{ end }}"""


def configuration(subjects: Sequence[Subject], options: Options) -> str:
    """Return ``alertmanager.yml``. Secrets are read from files; there is none in it."""

    def time(text: str) -> str:
        return duration(text, options.time_scale)

    document: dict[str, Any] = {
        "route": {
            "receiver": "warning",
            "group_by": ["job", "alertname"],
            "group_wait": time("30s"),
            "group_interval": time("5m"),
            "repeat_interval": time("4h"),
            "routes": [
                {
                    "matchers": ['severity="critical"'],
                    "receiver": "critical",
                    "group_wait": time("10s"),
                    "repeat_interval": time("1h"),
                },
                {"matchers": ['severity="warning"'], "receiver": "warning"},
                {"matchers": ['severity="info"'], "receiver": "nobody"},
            ],
        },
        "inhibit_rules": [
            {
                # What cannot be reached tells nothing else that is true; other instances of it still do.
                "source_matchers": ['alertname="ServiceDown"'],
                "target_matchers": ['alertname!="ServiceDown"'],
                "equal": ["job", "instance"],
            },
            {
                "source_matchers": ['severity="critical"'],
                "target_matchers": ['severity=~"warning|info"'],
                "equal": ["job", "source"],
            },
            {
                "source_matchers": ['severity="warning"'],
                "target_matchers": ['severity="info"'],
                "equal": ["job", "source"],
            },
            *(rule for subject in subjects for rule in _explained(subject)),
        ],
        "receivers": [_slack("critical", "#alerts-critical"), _slack("warning", "#alerts"), {"name": "nobody"}],
    }
    return yaml_text(document)


def _explained(subject: Subject) -> Iterator[dict[str, Any]]:
    """Return the rules that keep quiet about what follows from something else, by what components need."""
    for cause in causes(subject.specs):
        explaining = [f'job="{subject.name}"', f'alertname="{cause.name}"', f'source="{cause.source}"']
        graver = "|".join(SEVERITIES[SEVERITIES.index(cause.severity) :])
        about = "|".join(re.escape(one) for one in sorted(cause.dependents))
        for label in ("source", "component"):
            yield {
                "source_matchers": explaining,
                "target_matchers": [
                    f'alertname!="{cause.name}"',
                    f'severity=~"{graver}"',
                    f'{label}=~"{about}"',
                ],
                "equal": ["job", "instance"],
            }


def _slack(name: str, channel: str) -> dict[str, Any]:
    slack = {
        "api_url_file": _SLACK_FILE,
        "channel": channel,
        "send_resolved": True,
        "title": _TITLE,
        "text": Block(_TEXT),
        "color": '{{ if eq .Status "resolved" }}good{{ else if eq .CommonLabels.severity "critical" }}danger'
        "{{ else }}warning{{ end }}",
    }
    return {"name": name, "slack_configs": [slack]}
