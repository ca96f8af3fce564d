"""Where Grafana finds its data sources and dashboards."""

from __future__ import annotations

from typing import Any

from bedplate.render.yaml_text import yaml_text

__all__ = ["provisioning"]


def provisioning(interval: str) -> dict[str, str]:
    """Return the files, by their path below ``grafana/``.

    :param interval: between two scrapes; Grafana asks for no finer steps.
    """
    sources: dict[str, Any] = {
        "apiVersion": 1,
        "prune": True,
        "datasources": [
            {
                "name": "Prometheus",
                "uid": "prometheus",
                "type": "prometheus",
                "access": "proxy",
                "url": "http://prometheus:9090",
                "isDefault": True,
                "editable": False,
                "jsonData": {
                    "httpMethod": "POST",
                    "timeInterval": interval,
                    "prometheusType": "Prometheus",
                    "manageAlerts": True,
                },
            },
            {
                "name": "Alertmanager",
                "uid": "alertmanager",
                "type": "alertmanager",
                "access": "proxy",
                "url": "http://alertmanager:9093",
                "editable": False,
                "jsonData": {"implementation": "prometheus", "handleGrafanaManagedAlerts": False},
            },
            {
                "name": "Loki",
                "uid": "loki",
                "type": "loki",
                "access": "proxy",
                "url": "http://loki:3100",
                "editable": False,
                "jsonData": {"maxLines": 1000},
            },
        ],
    }
    dashboards: dict[str, Any] = {
        "apiVersion": 1,
        "providers": [
            {
                "name": "bedplate",
                "type": "file",
                "disableDeletion": False,
                "allowUiUpdates": False,
                "updateIntervalSeconds": 30,
                "options": {"path": "/etc/grafana/dashboards", "foldersFromFilesStructure": True},
            }
        ],
    }
    return {
        "provisioning/datasources/bedplate.yml": yaml_text(sources),
        "provisioning/dashboards/bedplate.yml": yaml_text(dashboards),
    }
