"""Detection: what is counted, how well it does in the window, and where the model comes from."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from bedplate.service.lifecycle import StartError
from bedplate.testing import Harness, running
from synfinance.components import FraudDetection, trainer
from synfinance.components import model as model_module
from synfinance.components.detection import Scored
from synfinance.components.profiles import Recall
from synfinance.components.scoreboard import Labels
from synfinance.components.trainer import TrainingError
from synfinance.fraud import Detector, Scores
from synfinance.generator import Generator, GeneratorConfig
from synfinance.service import build

from .conftest import small_settings


def component(harness: Harness) -> Any:
    return next(c for c in harness.service.components if isinstance(c, FraudDetection))


def scored(truth: list[str], said: list[str], *, trained: bool = True) -> Scored:
    """Scores that say these kinds (``-`` for no alert) of rows that are these kinds (``-`` for honest)."""
    alerts = np.array([kind != "-" for kind in said])
    kinds = np.array([kind if kind != "-" else "" for kind in said])
    scores = Scores(
        probability=np.where(alerts, 0.9, 0.1),
        anomaly=np.zeros(len(said)),
        decision=alerts,
        is_anomaly=np.array([kind == "anomaly" for kind in said]),
        type=kinds,
        severity=np.where(alerts, "high", ""),
        reason=np.full(len(said), ""),
        feature_seconds=0.2,
        prediction_seconds=0.1,
    )
    labels = Labels(np.array([kind != "-" for kind in truth]), {"fraud_type": np.array(truth)})
    return Scored(scores, Recall(None, 0, 0), trained, labels, ())


TRUTH = ["structuring", "structuring", "stolen_card", "stolen_card", "-", "-", "-", "-"]
SAID = ["structuring", "stolen_card", "stolen_card", "-", "structuring", "-", "-", "-"]


async def test_alerts_are_counted_by_kind_and_severity_with_their_confidence(harness: Harness) -> None:
    component(harness)._record(scored(TRUTH, SAID))
    samples = await harness.samples()
    assert samples['synfinance_fraud_detections_total{fraud_type="structuring",severity="high"}'] == 2
    assert samples['synfinance_fraud_detections_total{fraud_type="structuring",severity="low"}'] == 0
    assert samples['synfinance_fraud_confidence_ratio_sum{fraud_type="stolen_card"}'] == pytest.approx(1.8)
    assert samples["synfinance_feature_engineering_time_seconds_sum"] == pytest.approx(0.2)
    assert samples["synfinance_prediction_time_seconds_count"] == 1
    assert samples["synfinance_fraud_rate_ratio"] == 0.5


async def test_the_confusion_matrix_and_what_follows_from_it(harness: Harness) -> None:
    component(harness)._record(scored(TRUTH, SAID))
    summary = (await harness.client.get("/fraud")).json()
    matrix = {"true_positive": 3, "false_positive": 1, "true_negative": 3, "false_negative": 1}
    assert summary["confusion_matrix"] == matrix
    assert (summary["precision"], summary["recall"], summary["f1"]) == (0.75, 0.75, 0.75)
    kinds = {kind["name"]: kind for kind in summary["by_type"]}
    assert kinds["structuring"] == {
        "name": "structuring",
        "fraud": 2,
        "alerts": 2,
        "precision": 0.5,
        "recall": 1.0,
        "f1": 0.6667,
    }
    assert (kinds["stolen_card"]["precision"], kinds["stolen_card"]["recall"]) == (0.5, 0.5)
    samples = await harness.samples()
    for outcome, count in matrix.items():
        assert samples[f'synfinance_fraud_outcomes_total{{outcome="{outcome}"}}'] == count
    assert samples['synfinance_fraud_precision_ratio{fraud_type="all",severity="all"}'] == 0.75
    assert samples['synfinance_fraud_recall_ratio{fraud_type="structuring",severity="all"}'] == 1.0
    assert samples['synfinance_fraud_f1_ratio{fraud_type="stolen_card",severity="all"}'] == pytest.approx(0.5)


async def test_a_detector_of_anomalies_is_not_judged_by_kinds_that_it_does_not_tell(harness: Harness) -> None:
    said = ["anomaly" if kind != "-" else "-" for kind in SAID]
    component(harness)._record(scored(TRUTH, said, trained=False))
    summary = (await harness.client.get("/fraud")).json()
    assert summary["recall"] == 0.75
    assert [(kind["name"], kind["recall"], kind["precision"]) for kind in summary["by_type"]] == [
        ("stolen_card", 0.5, None),
        ("structuring", 1.0, None),
    ]
    samples = await harness.samples()
    assert samples['synfinance_fraud_detections_total{fraud_type="anomaly",severity="high"}'] == 4
    assert samples["synfinance_anomaly_detections_total"] == 4
    assert samples["synfinance_anomaly_rate_ratio"] == 0.5


async def test_kinds_of_a_foreign_model_are_taken_together(harness: Harness) -> None:
    component(harness)._record(scored(["phishing", "-"], ["phishing", "-"]))
    assert await harness.value('synfinance_fraud_detections_total{fraud_type="_other",severity="high"}') == 1
    assert await harness.value('synfinance_fraud_recall_ratio{fraud_type="_other",severity="all"}') == 1


async def test_rates_leave_with_the_window_and_counters_stay(harness: Harness) -> None:
    component(harness)._record(scored(TRUTH, SAID))
    await harness.clock.advance(400)
    samples = await harness.samples()
    assert math.isnan(samples["synfinance_fraud_rate_ratio"])
    assert math.isnan(samples['synfinance_fraud_recall_ratio{fraud_type="structuring",severity="all"}'])
    assert samples['synfinance_fraud_outcomes_total{outcome="true_positive"}'] == 3
    assert (await harness.client.get("/fraud")).json()["confusion_matrix"] is None


async def test_a_reset_forgets_the_window_here_and_in_other_processes(harness: Harness) -> None:
    component(harness)._record(scored(TRUTH, SAID))
    assert (await harness.client.get("/fraud")).json()["alerts"] == 4
    # Another process of the service leaves the mark.
    (component(harness)._host.directory / "fraud.reset").touch()
    await harness.clock.advance(6)
    assert (await harness.client.get("/fraud")).json()["alerts"] == 0
    component(harness)._record(scored(TRUTH, SAID))
    await harness.client.post("/monitoring/components/fraud_detection/default/actions/reset")
    assert (await harness.client.get("/fraud")).json()["alerts"] == 0
    component(harness)._record(scored(TRUTH, SAID))
    await harness.clock.advance(6)
    assert (await harness.client.get("/fraud")).json()["alerts"] == 4


@pytest.mark.parametrize(
    ("column", "fraud"),
    [
        ([True, False], [True, False]),
        ([1, 0], [True, False]),
        (["TRUE", "no"], [True, False]),
        ([True, None], None),
        (["x", "y"], None),
        ([1, 7], None),
    ],
)
def test_labels_are_used_when_they_are_known_throughout(column: list[Any], fraud: list[bool] | None) -> None:
    labels = Labels.of(pl.DataFrame({"is_fraud": column}))
    assert (None if labels is None else labels.fraud.tolist()) == fraud


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """The directory of a model, of anomalies alone: it is quickly made."""
    past = Generator(GeneratorConfig(customers=40, seed=3)).batch(1_000)
    Detector.unlabelled(past).save(tmp_path / "model")
    return tmp_path / "model"


async def test_a_given_model_is_loaded(model: Path) -> None:
    async with running(build(small_settings(model=model))) as harness:
        assert (await harness.client.get("/health")).json()["model"]["state"] == "loaded"
        assert (await harness.client.post("/simulate", json={"rows": 50})).status_code == 200


async def test_a_model_that_cannot_be_used_stops_the_start_and_is_named(tmp_path: Path) -> None:
    with pytest.raises(StartError, match="no-model: there is no such model"):
        async with running(build(small_settings(model=tmp_path / "no-model"))):
            pass


@pytest.fixture
def trained(monkeypatch: pytest.MonkeyPatch, model: Path) -> Iterator[asyncio.Event]:
    """Let training end when the test says so, with a model that is there already."""
    done = asyncio.Event()

    async def train(config: GeneratorConfig, path: Path) -> None:
        await done.wait()
        model.rename(path)

    monkeypatch.setattr(model_module, "train", train)
    yield done


async def test_anomalies_are_detected_until_the_model_is_trained(trained: asyncio.Event) -> None:
    async with running(build(small_settings(training=True))) as harness:
        before = (await harness.client.get("/health")).json()
        assert (before["status"], before["model"]["state"]) == ("degraded", "training")
        await harness.clock.advance(5)
        health = (await harness.client.get("/healthz")).json()
        assert (health["status"], health["ready"]) == ("degraded", True)
        assert "being trained" in str(health)
        answer = (await harness.client.post("/simulate", json={"rows": 50})).json()
        assert answer["detector"] == "anomalies"

        trained.set()
        await harness.eventually(lambda: component(harness).state == "trained")
        assert await harness.value("synfinance_model_trained") == 1
        await harness.clock.advance(5)
        assert (await harness.client.get("/healthz")).json()["status"] == "healthy"


async def test_of_several_workers_one_trains_and_the_others_load_it(trained: asyncio.Event, tmp_path: Path) -> None:
    trained.set()
    services = [build(small_settings(training=True)) for _ in range(2)]
    shared = tmp_path / "run"
    shared.mkdir()
    async with services[0].running(directory=shared), services[1].running(directory=shared):
        found = [next(c for c in s.components if isinstance(c, FraudDetection)) for s in services]
        for _ in range(3000):
            if all(one.state == "trained" for one in found):
                break
            await asyncio.sleep(0.02)
        # The model could be moved into place once only.
        assert [one.state for one in found] == ["trained", "trained"]


async def test_training_that_fails_is_told_and_not_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    attempts = 0

    async def train(config: GeneratorConfig, path: Path) -> None:
        nonlocal attempts
        attempts += 1
        raise TrainingError("Training failed (status 1): no memory.")

    monkeypatch.setattr(model_module, "train", train)
    async with running(build(small_settings(training=True))) as harness:
        await harness.eventually(lambda: component(harness).state == "failed")
        await harness.clock.advance(60)
        assert attempts == 1
        assert "no memory" in (await harness.client.get("/health")).text
        assert (await harness.client.post("/simulate", json={"rows": 50})).status_code == 200


@pytest.mark.timeout(300)  # it imports all that training needs
async def test_a_training_process_that_fails_says_why(tmp_path: Path) -> None:
    config = GeneratorConfig(rows=200, customers=5, fraud_rate=0.0)
    with pytest.raises(TrainingError, match=r"status 1\): .*BadLabel"):
        await trainer.train(config, tmp_path / "model")


async def test_a_training_process_ends_with_who_waits_for_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[asyncio.subprocess.Process] = []
    start = asyncio.create_subprocess_exec

    async def remember(*arguments: Any, **options: Any) -> asyncio.subprocess.Process:
        started.append(await start(*arguments, **options))
        return started[0]

    monkeypatch.setattr(asyncio, "create_subprocess_exec", remember)
    task = asyncio.create_task(trainer.train(GeneratorConfig(rows=50_000, customers=40), tmp_path / "model"))
    while not started:
        await asyncio.sleep(0.01)
    task.cancel()
    await asyncio.wait([task])
    assert started[0].returncode == -9
