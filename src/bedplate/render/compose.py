"""Compose: the services, and with the profile ``monitoring`` everything that watches them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from bedplate.render.logs import LOG_FOLDER, RETENTION
from bedplate.render.subject import Container
from bedplate.render.yaml_text import RENDERED, yaml_text

__all__ = ["IMAGES", "compose", "dockerfile", "dockerignore"]

#: The images that watch, and the variable that chooses another version of each.
IMAGES = {
    "prometheus": ("prom/prometheus", "v3.5.0"),
    "alertmanager": ("prom/alertmanager", "v0.28.1"),
    "grafana": ("grafana/grafana", "13.2.3"),
    "loki": ("grafana/loki", "3.5.1"),
    "alloy": ("grafana/alloy", "v1.9.1"),
}
_PORT = 8000
_SECRETS = "./secrets:/run/secrets:ro"

Service = dict[str, Any]


def compose(containers: Sequence[Container]) -> str:
    """Return ``compose.yml``."""
    services = {each.name: _service(each, _PORT + index) for index, each in enumerate(containers)}
    services |= {"prometheus": _prometheus(), "alertmanager": _alertmanager(), "grafana": _grafana()}
    services |= {"loki": _loki(), "alloy": _alloy()}
    volumes = ("logs", *(f"{each.name}-data" for each in containers), *(f"{name}-data" for name in IMAGES))
    return yaml_text({"name": "bedplate", "services": services, "volumes": {name: {} for name in volumes}})


def _service(container: Container, port: int) -> Service:
    build: Service = {}
    variable = container.name.upper().replace("-", "_")
    if container.packages:
        build = {
            "build": {
                "context": container.context,
                "dockerfile": f"{container.folder}/Dockerfile",
                "args": {"PACKAGES": " ".join(container.packages)},
            }
        }
    answer = f"import urllib.request as r; r.urlopen('http://127.0.0.1:{_PORT}/livez', timeout=2)"
    return {
        "image": f"{container.name}:${{{variable}_VERSION:-dev}}",
        **build,
        "command": ["bedplate", "run", container.target, "--host", "0.0.0.0", "--port", str(_PORT)],
        "environment": {
            "BEDPLATE_ENV": "${BEDPLATE_ENV:-staging}",
            "BEDPLATE_TOKENS_FILE": "/run/secrets/tokens",
            "LOG_DIR": f"{LOG_FOLDER}/{container.name}",
        },
        "ports": [f"127.0.0.1:{port}:{_PORT}"],
        "volumes": [f"logs:{LOG_FOLDER}", f"{container.name}-data:/var/lib/bedplate", _SECRETS],
        "working_dir": "/var/lib/bedplate",
        "stop_grace_period": "40s",
        **_common(["CMD", "python", "-c", answer], cpus="2.0", memory="2G", start="60s"),
    }


def _prometheus() -> Service:
    return _watcher(
        "prometheus",
        9090,
        ["./prometheus:/etc/prometheus:ro", "prometheus-data:/prometheus", _SECRETS],
        _wget("http://127.0.0.1:9090/-/healthy"),
        memory="2G",
        command=[
            "--config.file=/etc/prometheus/prometheus.yml",
            "--storage.tsdb.path=/prometheus",
            f"--storage.tsdb.retention.time={RETENTION}",
            "--web.enable-lifecycle",
            "--enable-feature=exemplar-storage",
        ],
        # For services that run on the machine itself: --scrape-target host.docker.internal:8000
        extra_hosts=["host.docker.internal:host-gateway"],
    )


def _alertmanager() -> Service:
    return _watcher(
        "alertmanager",
        9093,
        ["./alertmanager:/etc/alertmanager:ro", "alertmanager-data:/alertmanager", _SECRETS],
        _wget("http://127.0.0.1:9093/-/healthy"),
        memory="256M",
        command=[
            "--config.file=/etc/alertmanager/alertmanager.yml",
            "--storage.path=/alertmanager",
            "--cluster.listen-address=",
        ],
    )


def _grafana() -> Service:
    return _watcher(
        "grafana",
        3000,
        [
            "./grafana/provisioning:/etc/grafana/provisioning:ro",
            "./grafana/dashboards:/etc/grafana/dashboards:ro",
            "grafana-data:/var/lib/grafana",
        ],
        _wget("http://127.0.0.1:3000/api/health"),
        memory="512M",
        environment={
            "GF_SECURITY_ADMIN_PASSWORD": "${GRAFANA_ADMIN_PASSWORD:?Choose a password and set it in the file .env}",
            "GF_USERS_ALLOW_SIGN_UP": "false",
            "GF_AUTH_ANONYMOUS_ENABLED": "false",
            "GF_ANALYTICS_REPORTING_ENABLED": "false",
            "GF_ANALYTICS_CHECK_FOR_UPDATES": "false",
            "GF_DASHBOARDS_MIN_REFRESH_INTERVAL": "5s",
        },
        depends_on={"prometheus": {"condition": "service_healthy"}, "loki": {"condition": "service_healthy"}},
    )


def _loki() -> Service:
    return _watcher(
        "loki",
        3100,
        ["./loki/loki.yml:/etc/loki/loki.yml:ro", "loki-data:/loki"],
        _wget("http://127.0.0.1:3100/ready"),
        memory="1G",
        command=["-config.file=/etc/loki/loki.yml"],
        start="60s",
    )


def _alloy() -> Service:
    ask = "exec 3<>/dev/tcp/127.0.0.1/12345 && printf 'GET /-/ready HTTP/1.0\\r\\n\\r\\n' >&3 && grep -q '200 OK' <&3"
    return _watcher(
        "alloy",
        12345,
        ["./alloy/config.alloy:/etc/alloy/config.alloy:ro", f"logs:{LOG_FOLDER}:ro", "alloy-data:/var/lib/alloy/data"],
        ["CMD", "bash", "-c", ask],
        memory="512M",
        command=[
            "run",
            "--server.http.listen-addr=0.0.0.0:12345",
            "--storage.path=/var/lib/alloy/data",
            "--disable-reporting",
            "/etc/alloy/config.alloy",
        ],
        depends_on={"loki": {"condition": "service_healthy"}},
    )


def _watcher(
    name: str, port: int, volumes: list[str], health: list[str], *, memory: str, start: str = "30s", **more: Any
) -> Service:
    image, version = IMAGES[name]
    return {
        "image": f"{image}:${{{name.upper()}_VERSION:-{version}}}",
        "profiles": ["monitoring"],
        **more,
        "ports": [f"127.0.0.1:{port}:{port}"],
        "volumes": volumes,
        **_common(health, cpus="1.0", memory=memory, start=start),
    }


def _common(health: list[str], *, cpus: str, memory: str, start: str) -> Service:
    return {
        "healthcheck": {"test": health, "interval": "15s", "timeout": "5s", "retries": 4, "start_period": start},
        "restart": "unless-stopped",
        "security_opt": ["no-new-privileges:true"],
        "logging": {"driver": "json-file", "options": {"max-size": "10m", "max-file": "3"}},
        "deploy": {"resources": {"limits": {"cpus": cpus, "memory": memory}}},
    }


def _wget(url: str) -> list[str]:
    return ["CMD", "wget", "--quiet", "--tries=1", "--output-document=/dev/null", url]


def dockerfile() -> str:
    """Return the ``Dockerfile`` of services that are built from the checkout."""
    return f"""# {RENDERED}
FROM python:3.11-bookworm
ARG PACKAGES
ENV PYTHONUNBUFFERED=1 PIP_DISABLE_PIP_VERSION_CHECK=1
WORKDIR /app
COPY . .
RUN if [ -f constraints.txt ]; then set -- --constraint constraints.txt; fi; \\
    pip install --no-cache-dir "$@" $PACKAGES
RUN useradd --uid 10001 --create-home bedplate \\
    && mkdir -p {LOG_FOLDER} /var/lib/bedplate \\
    && chown -R bedplate {LOG_FOLDER} /var/lib/bedplate
USER bedplate
EXPOSE {_PORT}
"""


def dockerignore(containers: Sequence[Container]) -> str:
    """Return what no image may hold, secrets first."""
    secret = [
        f"{folder}/{name}" for folder in sorted({each.folder for each in containers}) for name in ("secrets", ".env")
    ]
    lines = (*secret, ".env", ".git", ".venv", "**/__pycache__", "**/.*_cache", ".cache", "run", "var")
    return f"# {RENDERED}\n" + "".join(f"{line}\n" for line in lines)
