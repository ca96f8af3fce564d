"""The layer check finds what points the wrong way, and this project is clean."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tools.finding import ROOT
from tools.layers import Layers, check

LAYERS = Layers(
    order=[["metric", "component"], ["telemetry"], ["state", "database"], ["cli"]],
    siblings={"component": ["metric"]},
    services={"demo": ["ledger"]},
)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    for module in ("metric", "component", "telemetry/logs", "state/cache", "database/pool", "cli/main"):
        write(tmp_path, f"src/bedplate/{module}.py", "")
    for service in ("ledger", "midas", "demo"):
        write(tmp_path, f"services/{service}/src/{service}/__init__.py", "")
    return tmp_path


def write(root: Path, name: str, text: str) -> None:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def faults(root: Path) -> list[str]:
    return [str(finding) for finding in check(root, LAYERS)]


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("src/bedplate/telemetry/logs.py", "from bedplate.metric import Metric"),
        ("src/bedplate/telemetry/logs.py", "from bedplate.telemetry.context import current"),
        ("src/bedplate/component.py", "from bedplate.metric import Metric"),
        ("src/bedplate/state/cache.py", "import json, structlog\nfrom . import backends\nfrom ..telemetry import logs"),
        ("src/bedplate/__init__.py", "from bedplate.metric import Metric\nfrom bedplate.state import Cache"),
        ("services/ledger/src/ledger/app.py", "from bedplate import Service\nfrom ledger import tables"),
        ("services/demo/src/demo/app.py", "import ledger"),
    ],
)
def test_imports_that_point_down_are_fine(project: Path, file: str, text: str) -> None:
    write(project, file, text)
    assert faults(project) == []


@pytest.mark.parametrize(
    ("file", "text", "line", "says"),
    [
        ("src/bedplate/metric.py", "import bedplate.telemetry.logs", 1, "imports point downwards"),
        ("src/bedplate/telemetry/logs.py", "\nfrom bedplate.state.cache import Cache", 2, "imports point downwards"),
        ("src/bedplate/telemetry/logs.py", "from ..state import cache", 1, "imports point downwards"),
        ("src/bedplate/telemetry/logs.py", "def f():\n    from bedplate import state", 2, "imports point downwards"),
        (
            "src/bedplate/telemetry/logs.py",
            "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from bedplate.state import Cache",
            3,
            "imports point downwards",
        ),
        ("src/bedplate/state/cache.py", "from bedplate.database import pool", 1, "siblings"),
        ("src/bedplate/metric.py", "from bedplate.component import Spec", 1, "siblings"),
        ("src/bedplate/state/cache.py", "from bedplate import Metric", 1, "not from the package root"),
        ("src/bedplate/state/cache.py", "import bedplate", 1, "not from the package root"),
        ("src/bedplate/__init__.py", "from bedplate.cli import main", 1, "stands above it"),
        ("src/bedplate/cli/main.py", "import ledger.app", 1, "may not import the service ledger"),
        ("src/bedplate/weather.py", "", 1, "stands in no layer"),
        ("services/midas/src/midas/app.py", "from ledger import tables", 1, "services share Bedplate only"),
    ],
)
def test_imports_that_point_elsewhere_are_named(project: Path, file: str, text: str, line: int, says: str) -> None:
    write(project, file, text)
    (fault,) = faults(project)
    assert fault.startswith(f"{file}:{line}: ")
    assert says in fault


def test_one_import_of_several_names_is_one_fault(project: Path) -> None:
    write(project, "src/bedplate/metric.py", "from bedplate.telemetry import logs, traces, errors")
    assert len(faults(project)) == 1


def test_this_project_keeps_its_layers() -> None:
    assert [str(finding) for finding in check(ROOT)] == []


def test_the_handbook_shows_the_table_as_it_is() -> None:
    section = (ROOT / "CONTRIBUTING.md").read_text().partition("\n## Layers\n")[2].partition("\n## ")[0]
    shown = [re.findall(r"`(\w+)`", line) for line in section.splitlines() if re.match(r"\d+\. ", line)]
    assert shown == Layers.read(ROOT / "pyproject.toml").order


def test_the_table_lists_each_module_once_and_siblings_share_a_layer_without_a_cycle() -> None:
    layers = Layers.read(ROOT / "pyproject.toml")
    listed = [module for layer in layers.order for module in layer]
    assert len(listed) == len(set(listed))
    for module, siblings in layers.siblings.items():
        for sibling in siblings:
            assert layers.level(sibling) == layers.level(module)
            assert module not in layers.siblings.get(sibling, ()), f"{module} and {sibling} import each other"
