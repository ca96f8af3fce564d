"""`bedplate render`: several services, a process, what differs by name, wrong options in sentences."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner, Result

from bedplate.cli.main import app

MODULE = """
from bedplate import Process, Service, Settings

def ledger(settings: Settings): return Service("ledger", settings=settings)
def midas(settings: Settings): return Service("midas", settings=settings)
def both(settings: Settings): return Process([ledger(settings), midas(settings)])
"""


@pytest.fixture(autouse=True)
def _workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    project = tmp_path / "services" / "shops"
    project.mkdir(parents=True)
    (project / "pyproject.toml").write_text("")
    (project / "shops_to_render.py").write_text(MODULE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(project))
    yield
    sys.modules.pop("shops_to_render", None)


def call(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["render", *arguments])


def test_what_was_written_is_what_is_compared(tmp_path: Path) -> None:
    result = call("shops_to_render:ledger", "shops_to_render:midas")
    assert result.exit_code == 0, result.output
    rules = tmp_path / "deploy" / "prometheus" / "rules"
    assert sorted(path.name for path in rules.iterdir()) == ["ledger", "midas"]
    assert call("shops_to_render:ledger", "shops_to_render:midas", "--check").exit_code == 0
    (tmp_path / "deploy" / "runbooks" / "midas.md").write_text("changed by hand")
    result = call("shops_to_render:ledger", "shops_to_render:midas", "--check")
    assert result.exit_code == 1
    assert "deploy/runbooks/midas.md: differs" in result.output
    assert (tmp_path / "deploy" / "runbooks" / "midas.md").read_text() == "changed by hand"
    result = call("shops_to_render:ledger", "--json")
    changes = {change["path"]: change["kind"] for change in json.loads(result.stdout)["changes"]}
    assert changes["runbooks/midas.md"] == "left over"
    assert not (rules / "midas").exists()


def test_services_of_a_process_are_scraped_where_they_are_mounted(tmp_path: Path) -> None:
    result = call(
        "shops_to_render:both", "--out", "made", "--scrape-target", "here:1", "--scrape-target", "midas=there:2"
    )
    assert result.exit_code == 0, result.output
    jobs = yaml.safe_load((tmp_path / "made" / "prometheus" / "prometheus.yml").read_text())["scrape_configs"][1:]
    assert [(job["metrics_path"], job["static_configs"][0]["targets"]) for job in jobs] == [
        ("/ledger/metrics", ["here:1"]),
        ("/midas/metrics", ["there:2"]),
    ]
    compose = yaml.safe_load((tmp_path / "made" / "compose.yml").read_text())["services"]["services"]
    assert compose["command"][2] == "shops_to_render:both"
    assert compose["build"] == {
        "context": "..",
        "dockerfile": "made/Dockerfile",
        "args": {"PACKAGES": "./services/shops"},
    }


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--scrape-target", "nowhere"], "'nowhere' is no scrape target"),
        (["--scrape-target", "other=here:1"], "'other', which is not rendered"),
        (["--time-scale", "0"], "The time scale 0 is no factor"),
        (["shops_to_render:ledger"], "Two services are called ledger"),
        (["shops_to_render:nothing"], "has no 'nothing'"),
    ],
)
def test_wrong_options_are_told_in_a_sentence(options: list[str], message: str) -> None:
    result = call("shops_to_render:ledger", *options)
    assert result.exit_code == 2
    assert message in result.output
    assert not Path("deploy").exists()


def test_without_pyyaml_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "yaml", None)
    result = call("shops_to_render:ledger")
    assert result.exit_code == 2
    assert "pip install 'bedplate[render]'" in result.output
