"""Rendered files against the schemas that their readers publish: Grafana's types, the Compose specification."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from bedplate.declarations import Panel
from bedplate.render import render
from tests.rendering import CACHE, shop, synfinance_files
from tools.finding import ROOT

HERE = Path(__file__).parent / "schemas"


@cache
def schemas() -> Path:
    """Return the folder of the published schemas, fetched if they are not there."""
    done = subprocess.run([ROOT / "tools" / "schemas.sh"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return Path(done.stdout.strip())


def complaints(folder: Path, pages: list[dict[str, Any]]) -> str:
    """Return what the compiler has against dashboards that are said to be ones of Grafana's."""
    (folder / "node_modules").symlink_to(schemas() / "node_modules")
    shutil.copy(HERE / "dashboard.ts", folder)
    source = "".join(f"export const page{n}: Page = {json.dumps(page, indent=1)};\n" for n, page in enumerate(pages))
    (folder / "pages.ts").write_text(f"import type {{ Page }} from './dashboard';\n{source}")
    options = "--noEmit --strict --skipLibCheck --module esnext --moduleResolution bundler --target es2022".split()
    compiler = folder / "node_modules" / "typescript" / "bin" / "tsc"
    done = subprocess.run(
        ["node", compiler, *options, "pages.ts"], cwd=folder, capture_output=True, text=True, check=False
    )
    assert not done.stderr, done.stderr
    return done.stdout


def pages(files: Mapping[str, str]) -> list[dict[str, Any]]:
    return [json.loads(text) for path, text in files.items() if path.endswith(".json")]


def test_dashboards_are_what_grafana_publishes_as_its_schema(tmp_path: Path) -> None:
    found = pages({**synfinance_files(), **render([shop()])})
    assert len(found) == 9
    assert complaints(tmp_path, found) == ""


KINDS = ("line", "stat", "gauge", "table", "bar", "heatmap", "state")


def test_so_is_every_kind_of_panel(tmp_path: Path) -> None:
    from dataclasses import replace

    panels = tuple(
        Panel(title=f"{kind} {stacked}", expr="up", kind=kind, stacked=stacked, low=0, high=1, unit="cores")  # type: ignore[arg-type]
        for kind in KINDS
        for stacked in (True, False)
    )
    assert complaints(tmp_path, pages(render([shop("shop", replace(CACHE, panels=panels))]))) == ""


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("refresh",), 10),
        (("unheard_of",), True),
        (("panels", 1, "type"), "graph"),
        (("panels", 1, "options", "unheard_of"), True),
        (("panels", 1, "options", "colorMode"), "loud"),
        (("panels", 1, "fieldConfig", "defaults", "thresholds", "mode"), "relative"),
        (("panels", 1, "targets", 0, "format"), "csv"),
    ],
    ids=lambda part: ".".join(map(str, part)) if isinstance(part, tuple) else None,
)
def test_the_schema_refuses_what_grafana_does_not_know(tmp_path: Path, path: tuple[str | int, ...], value: Any) -> None:
    page = next(page for page in pages(render([shop()])) if page["title"] == "Shop: Overview")
    assert page["panels"][1]["type"] == "stat"
    place: Any = page
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    assert "error TS" in complaints(tmp_path, [page])


def compose(document: dict[str, Any]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["node", HERE / "compose.cjs"],
        input=json.dumps(document), capture_output=True, text=True, check=False,
        env={"NODE_PATH": str(schemas() / "node_modules"), "PATH": "/usr/local/bin:/usr/bin:/bin"},
    )  # fmt: skip


def test_compose_is_what_its_specification_says() -> None:
    document = yaml.safe_load(synfinance_files()["compose.yml"])
    done = compose(document)
    assert done.returncode == 0, done.stderr
    document["services"]["grafana"]["mem_limits"] = "1G"
    assert "mem_limits" in compose(document).stderr
