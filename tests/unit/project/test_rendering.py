"""`make lint` finds a metric that was renamed without its uses, and a file that is not what components declare."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from bedplate import Counter, Host, Panel, Service, Settings, Spec
from tools import rendering
from tools.finding import ROOT


class Till:
    """A component whose panel names its metric in words and not by the object."""

    def __init__(self, metric: str) -> None:
        self.sales = Counter(metric, "Sales.")

    @property
    def spec(self) -> Spec:
        panel = Panel(title="Sales", expr="rate(till_sales_total[5m])")
        return Spec(kind="till", summary="Takes money.", metrics=(self.sales,), panels=(panel,))

    @asynccontextmanager
    async def lifespan(self, host: Host) -> AsyncIterator[None]:
        yield


def test_a_metric_that_was_renamed_without_its_uses_is_found() -> None:
    name = f"{__name__}:build"
    assert list(rendering.refused({name: Service("till", None, [Till("till_sales_total")], settings=Settings())})) == []
    renamed = Service("till", None, [Till("till_receipts_total")], settings=Settings())
    (finding,) = rendering.refused({name: renamed})
    assert finding.path == "tests/unit/project/test_rendering.py"
    assert "uses the metric till_sales_total" in finding.message


def test_what_is_committed_is_what_components_declare() -> None:
    assert [str(finding) for finding in rendering.check()] == []


def test_every_file_that_differs_is_named(tmp_path: Path) -> None:
    folder = tmp_path / "deploy"
    shutil.copytree(ROOT / "deploy", folder)
    (folder / "prometheus" / "prometheus.yml").unlink()
    page = folder / "grafana" / "dashboards" / "synfinance" / "overview.json"
    page.write_text(page.read_text().replace("Takes requests", "Is up"))
    found = sorted(rendering.drift(rendering.deployed(), folder))
    assert [(finding.path, finding.message) for finding in found] == [
        (
            "deploy/grafana/dashboards/synfinance/overview.json",
            "is not what components declare (differs). Run: make render",
        ),
        ("deploy/prometheus/prometheus.yml", "is not what components declare (missing). Run: make render"),
    ]
