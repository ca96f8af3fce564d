"""Files that name a registry or a machine, or grow too long, are found by line."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tools.__main__ import main
from tools.finding import project_files
from tools.hygiene import addresses, lengths

# Put together here, so that this file passes the check that it tests.
REGISTRY = "https://" + "py" + "pi.org/simple"
FILES = "https://files." + "python" + "hosted.org/packages/a.whl"
SCRIPTS = "registry." + "npm" + "js.org"
MACHINE = "/" + "work/main/src"


def found(folder: Path, text: str, name: str = "page.md") -> list[str]:
    path = folder / name
    path.write_text(text)
    return [str(finding) for finding in addresses(folder, [path])]


@pytest.mark.parametrize("text", [REGISTRY, FILES, SCRIPTS, MACHINE, f"cd {MACHINE}", f'"{MACHINE}"'])
def test_an_address_that_belongs_to_a_machine_is_found(tmp_path: Path, text: str) -> None:
    (finding,) = found(tmp_path, f"fine\nsee {text} for more")
    assert finding.startswith("page.md:2: names a")


@pytest.mark.parametrize("text", ["src/work/a.py", "https://example.org/docs", "./work/", "network/", "a pip index"])
def test_other_paths_and_addresses_are_fine(tmp_path: Path, text: str) -> None:
    assert found(tmp_path, text) == []


def test_vendored_and_binary_files_are_left_alone(tmp_path: Path) -> None:
    assert found(tmp_path, REGISTRY, "uplot.min.js") == []
    assert found(tmp_path, f"\0{REGISTRY}", "data.bin") == []


@pytest.mark.parametrize(("lines", "faults", "warnings"), [(400, 0, 0), (401, 0, 1), (500, 0, 1), (501, 1, 0)])
def test_a_module_over_400_lines_warns_and_over_500_fails(
    tmp_path: Path, lines: int, faults: int, warnings: int
) -> None:
    path = tmp_path / "module.py"
    path.write_text("pass\n" * lines)
    findings = list(lengths(tmp_path, [path]))
    assert sum(not finding.warning for finding in findings) == faults
    assert sum(finding.warning for finding in findings) == warnings


def test_only_python_has_a_limit(tmp_path: Path) -> None:
    path = tmp_path / "data.csv"
    path.write_text("1\n" * 5_000)
    assert list(lengths(tmp_path, [path])) == []


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    subprocess.run(["git", "init", "-q", tmp_path], check=True)
    (tmp_path / "pyproject.toml").write_text('[tool.bedplate.layers]\norder = [["metric"]]\n')
    (tmp_path / ".gitignore").write_text("ignored.py\n")
    (tmp_path / "ignored.py").write_text(REGISTRY)
    (tmp_path / "kept.py").write_text('"""Fine."""\n')
    return tmp_path


def test_ignored_and_deleted_files_are_not_the_projects(repository: Path) -> None:
    (repository / "gone.py").write_text("")
    subprocess.run(["git", "add", "gone.py"], cwd=repository, check=True)
    (repository / "gone.py").unlink()
    names = [path.name for path in project_files(repository)]
    assert names == [".gitignore", "kept.py", "pyproject.toml"]


def test_the_command_prints_findings_and_fails_on_faults(repository: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(repository) == 0
    (repository / "kept.py").write_text(f'"""See {REGISTRY}."""\n')
    assert main(repository) == 1
    assert "kept.py:1: names a package registry" in capsys.readouterr().out


def test_a_warning_alone_does_not_fail(repository: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (repository / "kept.py").write_text("pass\n" * 450)
    assert main(repository) == 0
    assert "kept.py:450: warning: has 450 lines" in capsys.readouterr().out
