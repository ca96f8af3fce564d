"""The two ways in: `make` explains itself, and a missing server is an error that names its package."""

from __future__ import annotations

import itertools
import os
import re
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tools.finding import ROOT


def test_make_alone_lists_every_target_that_people_call() -> None:
    printed = subprocess.run(
        ["make", "--no-print-directory"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    phony = set(re.findall(r"^\.PHONY: (.+)$", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert {"demo", "test", "lint", "bench"} <= phony
    assert {line.split()[1] for line in printed.splitlines()} == phony


def test_ci_runs_what_people_run() -> None:
    script = ROOT / ".ci" / "run"
    assert os.access(script, os.X_OK)
    assert script.read_text().splitlines()[-1] == "make test"


def constraints() -> list[str]:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    return [line for line in lines if not line.startswith("#")]


def test_constraints_pin_versions_and_nothing_else() -> None:
    assert constraints()
    assert [line for line in constraints() if not re.fullmatch(r"[A-Za-z0-9._-]+==[0-9][A-Za-z0-9.+!]*", line)] == []


def test_constraints_cover_everything_that_the_manifests_name() -> None:
    manifests = [
        tomllib.loads(path.read_text())["project"]
        for path in (ROOT / "pyproject.toml", *sorted(ROOT.glob("services/*/pyproject.toml")))
    ]
    own = {manifest["name"] for manifest in manifests}
    lines = [manifest.get("dependencies", []) for manifest in manifests]
    lines += [extra for manifest in manifests for extra in manifest.get("optional-dependencies", {}).values()]
    needed = {canonicalize_name(Requirement(line).name) for line in itertools.chain.from_iterable(lines)} - own
    pinned = {canonicalize_name(line.partition("==")[0]) for line in constraints()}
    assert needed - pinned == set(), "Run `make constraints`."


@pytest.fixture
def bare_path(tmp_path: Path) -> str:
    """A PATH without servers, apt-get or sudo."""
    for program in ("bash", "id"):
        (tmp_path / program).symlink_to(str(shutil.which(program)))
    return str(tmp_path)


def servers(*programs: str, path: str) -> subprocess.CompletedProcess[str]:
    script = ROOT / "tools" / "servers.sh"
    return subprocess.run([script, *programs], env={"PATH": path}, capture_output=True, text=True)


def test_a_missing_server_is_an_error_that_names_the_package(bare_path: str) -> None:
    result = servers("promtool", path=bare_path)
    assert result.returncode == 1
    assert "Missing: prometheus." in result.stderr
    assert "apt-get install prometheus" in result.stderr


def test_a_server_that_is_there_needs_nothing(bare_path: str) -> None:
    (Path(bare_path) / "promtool").symlink_to("/bin/true")
    result = servers("promtool", path=bare_path)
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")


def test_a_server_without_a_known_package_is_an_error(bare_path: str) -> None:
    result = servers("oracle", path=bare_path)
    assert result.returncode == 1
    assert "no package is known for 'oracle'" in result.stderr
