"""Every metric that SynFinance must have is declared, exposed, and named as the table says."""

from __future__ import annotations

import re

from bedplate.declarations import metric_names
from bedplate.testing import Harness
from synfinance import components
from synfinance.service import build

from .conftest import small_settings

MISSION = """
    requests_total errors_total active_requests request_latency request_size response_size fraud_detections_total
    fraud_rate fraud_confidence anomaly_detections_total anomaly_rate transactions_generated generation_rate
    feature_engineering_time prediction_time cache_hit_rate cache_hits cache_misses memory_usage cpu_usage disk_usage
    active_connections
""".split()


def table() -> dict[str, str]:
    return dict(re.findall(r"^(\w+) {2,}(\w+)$", components.__doc__ or "", re.MULTILINE))


def test_the_table_has_every_metric_of_the_mission_and_each_is_declared() -> None:
    declared = {
        sample
        for component in build(small_settings()).components
        for metric in component.spec.metrics
        for sample in (metric.name, *metric_names([metric]))
    }
    assert set(MISSION) <= set(table())
    assert {exposed for name, exposed in table().items() if name in MISSION} <= declared


def test_every_metric_of_its_own_says_what_it_is_and_bounds_its_labels() -> None:
    for component in build(small_settings()).components:
        for metric in component.spec.metrics:
            if metric.name.startswith("synfinance_"):
                assert len(metric.help) > 20
                assert all(label.values is not None for label in metric.labels), metric.name


async def test_after_some_work_all_but_errors_are_exposed(harness: Harness) -> None:
    await harness.client.post("/simulate", json={"rows": 300})
    samples = {name.partition("{")[0] for name in await harness.samples()}
    families = samples | {re.sub("_(bucket|sum|count)$", "", name) for name in samples}
    expected = {table()[name] for name in MISSION if name != "errors_total"}
    assert expected <= families


async def test_an_error_is_counted_by_its_type(harness: Harness) -> None:
    detection = next(c for c in harness.service.components if c.spec.kind == "fraud_detection")
    detection._model._detector = None  # type: ignore[attr-defined]
    assert (await harness.client.post("/simulate", json={"rows": 10})).status_code == 500
    assert await harness.value("http_server_errors_total") == 1
