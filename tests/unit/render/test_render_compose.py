"""Compose, Loki and Alloy: pinned, limited, healthy, without a secret or a default password."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import yaml

from bedplate.render import Container, render
from tests.rendering import shop

FILES = render([shop(), shop("outlet")])
COMPOSE: dict[str, Any] = yaml.safe_load(FILES["compose.yml"])
WATCHERS = ("prometheus", "alertmanager", "grafana", "loki", "alloy")


def test_what_watches_is_a_profile_and_the_services_are_not() -> None:
    services = COMPOSE["services"]
    assert {name for name, service in services.items() if service.get("profiles") == ["monitoring"]} == set(WATCHERS)
    assert set(services) == {*WATCHERS, "shop", "outlet"}


def test_every_container_has_a_version_a_health_check_and_limits() -> None:
    for name, service in COMPOSE["services"].items():
        assert re.search(r":\$\{\w+_VERSION:-(v?\d[\d.]*|dev)\}$", service["image"]), name
        assert service["healthcheck"]["test"][0] == "CMD", name
        limits = service["deploy"]["resources"]["limits"]
        assert set(limits) == {"cpus", "memory"}, name
        assert service["restart"] == "unless-stopped"
        assert all(port.startswith("127.0.0.1:") for port in service["ports"]), "only this machine can reach it"


def test_every_volume_that_is_mounted_is_declared() -> None:
    mounted = {
        source
        for service in COMPOSE["services"].values()
        for source in (volume.partition(":")[0] for volume in service["volumes"])
        if not source.startswith(".")
    }
    assert mounted == set(COMPOSE["volumes"])


def test_every_folder_that_is_mounted_is_rendered() -> None:
    for service in COMPOSE["services"].values():
        for volume in service["volumes"]:
            source = volume.partition(":")[0]
            if source.startswith("./"):
                assert any(path == source[2:] or path.startswith(f"{source[2:]}/") for path in FILES), source


def test_measurements_are_kept_for_30_days_and_files_are_read_anew_while_it_runs() -> None:
    command = COMPOSE["services"]["prometheus"]["command"]
    assert "--storage.tsdb.retention.time=30d" in command
    assert "--web.enable-lifecycle" in command
    assert yaml.safe_load(FILES["loki/loki.yml"])["limits_config"]["retention_period"] == "720h"


def test_there_is_no_default_password_and_no_secret() -> None:
    password = COMPOSE["services"]["grafana"]["environment"]["GF_SECURITY_ADMIN_PASSWORD"]
    assert password.startswith("${GRAFANA_ADMIN_PASSWORD:?")
    alertmanager = yaml.safe_load(FILES["alertmanager/alertmanager.yml"])
    for receiver in alertmanager["receivers"]:
        for slack in receiver.get("slack_configs", ()):
            assert "api_url" not in slack and slack["api_url_file"].startswith("/run/secrets/")
    assert FILES["secrets/.gitignore"] == "*\n!.gitignore\n"
    assert "deploy/secrets" in FILES["Dockerfile.dockerignore"].splitlines()


def test_records_of_every_container_are_shipped_with_few_labels() -> None:
    text = FILES["alloy/config.alloy"]
    for name in ("shop", "outlet"):
        service = COMPOSE["services"][name]
        folder = service["environment"]["LOG_DIR"]
        assert f'__path__ = "{folder}/app.log"' in text
        assert f"logs:{folder.rpartition('/')[0]}" in service["volumes"]
    assert "logs:/var/log/bedplate:ro" in COMPOSE["services"]["alloy"]["volumes"]
    assert re.search(r'stage\.labels \{\s+values = \{ service = "", level = "" \}', text)
    assert text.count("{") == text.count("}")


def test_services_of_one_process_run_in_one_container() -> None:
    both = Container(name="services", target="both:build")
    files = render([replace(shop(name), root=f"/{name}", container=both) for name in ("shop", "outlet")])
    services = yaml.safe_load(files["compose.yml"])["services"]
    assert set(services) == {*WATCHERS, "services"}
    assert services["services"]["command"][2] == "both:build"
    assert "build" not in services["services"], "an image that is made elsewhere"


def test_alertmanager_tells_of_the_cause_and_not_of_all_that_follows() -> None:
    rules = yaml.safe_load(FILES["alertmanager/alertmanager.yml"])["inhibit_rules"]
    assert {
        "source_matchers": ['severity="critical"'],
        "target_matchers": ['severity=~"warning|info"'],
        "equal": ["job", "source"],
    } in rules
    assert rules[0]["source_matchers"] == ['alertname="ServiceDown"']
    assert rules[0]["equal"] == ["job", "instance"], "one instance that is down does not silence the others"
