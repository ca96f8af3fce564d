from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import orjson
import polars as pl
import pytest
import skops.io

from synfinance.fraud import BadLabel, BadModel, Criterion, Detector, Report, UnfitTable, train
from synfinance.fraud.anomaly import AnomalyModel
from synfinance.fraud.features import build_features
from synfinance.fraud.roles import infer_roles
from synfinance.generator import FRAUD_TYPES, Generator, GeneratorConfig

CONFIG = GeneratorConfig(customers=400, fraud_rate=0.03, seed=31)


@pytest.fixture(scope="module")
def generator() -> Generator:
    return Generator(CONFIG)


@pytest.fixture(scope="module")
def labelled(generator: Generator) -> pl.DataFrame:
    return generator.batch(16_000)


@pytest.fixture(scope="module")
def later(generator: Generator, labelled: pl.DataFrame) -> pl.DataFrame:
    """The same people after the period that was learned from."""
    return generator.batch(2_000, fraud=60)


@pytest.fixture(scope="module")
def trained(labelled: pl.DataFrame) -> tuple[Detector, Report]:
    return train(labelled, "is_fraud", rounds=60)


@pytest.fixture
def saved(trained: tuple[Detector, Report], tmp_path: Path) -> Path:
    trained[0].save(tmp_path / "model")
    return tmp_path / "model"


def test_fraud_is_found_in_a_later_period(trained: tuple[Detector, Report]) -> None:
    report = trained[1]
    quality = report.quality
    assert quality.average_precision > 0.5 > 10 * quality.positive / quality.rows
    assert quality.recall > 0.4
    assert quality.precision > 0.4
    assert report.anomaly_average_precision > 3 * quality.positive / quality.rows
    assert (
        quality.rows == quality.true_positive + quality.false_positive + quality.true_negative + quality.false_negative
    )
    assert {part.name for part in report.by_type} <= set(FRAUD_TYPES)
    assert sum(part.positive for part in report.by_type) == quality.positive
    assert sum(part.positive for part in report.by_severity) == quality.positive


def test_periods_follow_each_other_with_a_gap(trained: tuple[Detector, Report]) -> None:
    report = trained[1]
    periods = (report.train, report.validation, report.test)
    assert report.delay_days > 0
    for one, other in itertools.pairwise(periods):
        assert one.end is not None
        assert other.begin is not None
        assert one.end < other.begin


def test_what_is_known_only_with_the_label_is_not_learned_from(trained: tuple[Detector, Report]) -> None:
    roles = trained[0].roles
    assert not {"is_fraud", "fraud_type", "severity"} & set(roles.used)
    assert trained[0].attributes.keys() == {"type", "severity"}


def test_scores_agree_with_the_truth_of_later_rows(
    trained: tuple[Detector, Report], labelled: pl.DataFrame, later: pl.DataFrame
) -> None:
    scores = trained[0].score(later, history=labelled)
    truth = later["is_fraud"].to_numpy()
    assert scores.probability is not None
    assert scores.probability[truth].mean() > 5 * scores.probability[~truth].mean()
    assert np.array_equal(scores.decision, scores.probability >= trained[0].threshold)
    assert set(scores.type[scores.decision]) <= set(FRAUD_TYPES)
    assert set(scores.type[~scores.decision]) <= {""}
    assert ((scores.anomaly >= 0) & (scores.anomaly <= 1)).all()
    assert scores.feature_seconds > 0 < scores.prediction_seconds
    assert scores.frame().height == later.height


def test_scores_follow_the_rows_whatever_their_order(trained: tuple[Detector, Report], later: pl.DataFrame) -> None:
    straight = trained[0].score(later)
    places = np.random.default_rng(0).permutation(later.height)
    mixed = trained[0].score(later[places])
    distinct = ~later["timestamp"].is_duplicated().to_numpy()[places]
    assert straight.probability is not None
    assert mixed.probability is not None
    assert np.allclose(mixed.probability[distinct], straight.probability[places][distinct])


def test_history_is_known_but_not_scored(trained: tuple[Detector, Report], later: pl.DataFrame) -> None:
    whole = trained[0].score(later)
    rest = trained[0].score(later.slice(1_500), history=later.head(1_500))
    assert len(rest) == 500
    assert np.allclose(rest.anomaly, whole.anomaly[1_500:])


def test_types_that_differ_between_files_do_not_matter(trained: tuple[Detector, Report], later: pl.DataFrame) -> None:
    text = later.with_columns(pl.col(pl.Enum).cast(pl.String), pl.col("timestamp").dt.to_string("iso:strict"))
    one, other = trained[0].score(later), trained[0].score(text)
    assert np.allclose(one.anomaly, other.anomaly)
    assert np.allclose(one.probability or 0, other.probability or 0) if one.probability is None else True
    assert len(trained[0].score(text.slice(1_000), history=later.head(1_000))) == 1_000


def test_no_rows_have_no_scores(trained: tuple[Detector, Report], later: pl.DataFrame) -> None:
    scores = trained[0].score(later.clear())
    assert len(scores) == 0
    assert scores.frame().height == 0


def test_a_table_that_does_not_fit_is_refused(trained: tuple[Detector, Report], later: pl.DataFrame) -> None:
    with pytest.raises(UnfitTable, match="does not have: card_id, channel"):
        trained[0].score(later.drop("card_id", "channel"))
    with pytest.raises(UnfitTable, match="'amount' was numeric"):
        trained[0].score(later.with_columns(amount=pl.lit("much")))
    with pytest.raises(UnfitTable, match="'timestamp' cannot be read"):
        trained[0].score(later.with_columns(timestamp=pl.lit("later")))
    with pytest.raises(UnfitTable, match="history lacks"):
        trained[0].score(later, history=later.drop("merchant_id"))


def test_equal_seeds_make_equal_detectors(labelled: pl.DataFrame, later: pl.DataFrame) -> None:
    part = labelled.head(5_000)
    one, other = (train(part, "is_fraud", seed=3, rounds=20, explain=False)[0].score(later) for _ in range(2))
    assert one.probability is not None
    assert np.array_equal(one.probability, other.probability)


def test_rare_and_certain_fraud_is_not_lost() -> None:
    """One row in 500 is fraud, for a plain reason: a gift card of 500 exactly. All of it is to be found."""
    rows = 20_000
    random = np.random.default_rng(5)
    frame = pl.DataFrame(
        {
            "time": np.arange(rows) * 60 + 1_700_000_000,
            "card": random.integers(0, 300, rows),
            "category": random.choice(["food", "gift card", "fuel"], rows),
            "amount": random.lognormal(3, 1, rows).round(2),
        }
    )
    fraud = np.zeros(rows, bool)
    fraud[random.choice(rows, 40, replace=False)] = True
    frame = frame.with_columns(fraud=fraud).with_columns(
        pl.when("fraud").then(500.0).otherwise("amount").alias("amount"),
        pl.when("fraud").then(pl.lit("gift card")).otherwise("category").alias("category"),
    )
    report = train(frame, "fraud")[1]
    assert report.quality.recall == 1
    assert report.quality.precision > 0.8


def test_a_label_among_many_values_needs_a_name(labelled: pl.DataFrame) -> None:
    with pytest.raises(BadLabel, match="--positive"):
        train(labelled, "category")


def test_positive_rows_in_one_moment_cannot_be_judged() -> None:
    frame = pl.DataFrame(
        {"time": [1_700_000_000 + row for row in range(1_000)], "amount": range(1_000), "y": [0] * 900 + [0, 1] * 50}
    )
    detector, report = train(frame, "y")
    assert any("bunched" in note for note in report.notes)
    assert detector.classifier is not None
    with pytest.raises(UnfitTable, match="too few, or too close"):
        train(frame.with_columns(time=pl.when(pl.col("y") == 1).then(1_700_000_999).otherwise("time")), "y")


@pytest.mark.parametrize(
    ("text", "told"), [("f2", "unknown"), ("precision", "unknown"), ("precision=2", "unknown"), ("budget=x", "unknown")]
)
def test_an_unknown_criterion_is_refused(text: str, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        Criterion.parse(text)


def test_criteria_do_what_they_say() -> None:
    random = np.random.default_rng(0)
    labels = random.random(5_000) < 0.1
    probability = np.clip(random.normal(0.3 + 0.3 * labels, 0.15), 0, 1)

    def alerts(text: str) -> np.ndarray:  # type: ignore[type-arg]
        return probability >= Criterion.parse(text).threshold(labels, probability)

    assert labels[alerts("precision=0.8")].mean() >= 0.8
    assert alerts("recall=0.9")[labels].mean() >= 0.9
    assert alerts("budget=0.02").mean() == pytest.approx(0.02)
    f1 = {
        t: 2 * (labels & (probability >= t)).sum() / (labels.sum() + (probability >= t).sum())
        for t in probability[::50]
    }
    best = Criterion().threshold(labels, probability)
    assert 2 * (labels & (probability >= best)).sum() / (labels.sum() + (probability >= best).sum()) >= max(f1.values())


def test_without_labels_the_unusual_stands_out(labelled: pl.DataFrame) -> None:
    detector, scores = Detector.score_unlabelled(labelled)
    truth = labelled["is_fraud"].to_numpy()
    assert scores.probability is None
    assert scores.is_anomaly.mean() == pytest.approx(0.01, abs=0.004)
    assert truth[scores.is_anomaly].mean() > 6 * truth.mean()
    assert set(scores.reason[scores.is_anomaly]) <= {"pace", "amount", "refunds", "novelty", "place", "device"}
    assert np.allclose(detector.score(labelled).anomaly, scores.anomaly)


def test_a_plain_table_of_numbers_is_judged_on_both_sides() -> None:
    values = np.random.default_rng(1).normal(size=(2_000, 4))
    values[7] = 9
    values[8] = -9
    scores = Detector.score_unlabelled(pl.DataFrame(values, schema=["a", "b", "c", "d"]))[1]
    assert set(np.argsort(-scores.anomaly)[:2]) == {7, 8}
    assert scores.reason[7] == "values"


def test_a_table_of_names_only_cannot_be_judged() -> None:
    with pytest.raises(UnfitTable, match="no column can be judged"):
        Detector.unlabelled(pl.DataFrame({"name": ["a", "b", "c"]}))


def test_what_was_never_seen_is_the_most_unusual() -> None:
    frame = pl.DataFrame({"a": np.arange(1_000.0)})
    roles = infer_roles(frame)
    model = AnomalyModel.fit(build_features(frame, roles))
    score = model.score(build_features(pl.DataFrame({"a": [500.0, 999.0, 1e9, None]}), roles))[0]
    assert score[0] < score[1] <= score[2]
    assert score[2] > 0.999
    assert score[3] == 0


def test_a_saved_detector_scores_the_same(trained: tuple[Detector, Report], saved: Path, later: pl.DataFrame) -> None:
    again = Detector.load(saved)
    one, other = trained[0].score(later), again.score(later)
    for name in ("probability", "anomaly", "decision", "type", "severity", "reason"):
        assert np.array_equal(getattr(one, name), getattr(other, name))
    assert again.summary["quality"]["average_precision"] == trained[1].quality.average_precision
    assert again.meaning == "is_fraud is true"


def test_saving_replaces_a_model_and_nothing_else(
    trained: tuple[Detector, Report], saved: Path, tmp_path: Path
) -> None:
    trained[0].save(saved)
    Detector.load(saved)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("years of work")
    with pytest.raises(BadModel, match="something else"):
        trained[0].save(tmp_path / "mine")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mine", "model"]


def test_an_unlabelled_detector_is_saved_too(labelled: pl.DataFrame, later: pl.DataFrame, tmp_path: Path) -> None:
    detector = Detector.unlabelled(labelled.head(3_000))
    detector.save(tmp_path / "model")
    assert np.array_equal(Detector.load(tmp_path / "model").score(later).anomaly, detector.score(later).anomaly)


def test_what_is_no_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadModel, match="no such model"):
        Detector.load(tmp_path / "nothing")
    with pytest.raises(BadModel, match="not a model"):
        Detector.load(tmp_path)
    (tmp_path / "manifest.json").write_text("[1, 2")
    with pytest.raises(BadModel, match="not a model"):
        Detector.load(tmp_path)


@pytest.mark.parametrize("name", ["classifier.skops", "encoder.json", "anomaly.npz", "type.skops"])
def test_a_damaged_file_is_noticed(saved: Path, name: str) -> None:
    data = bytearray((saved / name).read_bytes())
    data[len(data) // 2] ^= 0xFF
    (saved / name).write_bytes(data)
    with pytest.raises(BadModel, match=f"{name} is missing or damaged"):
        Detector.load(saved)
    (saved / name).unlink()
    with pytest.raises(BadModel, match=f"{name} is missing or damaged"):
        Detector.load(saved)


def _forge(saved: Path, name: str, data: bytes) -> None:
    """Put a file into a model together with its checksum, as somebody who means harm would."""
    import hashlib

    (saved / name).write_bytes(data)
    manifest = orjson.loads((saved / "manifest.json").read_bytes())
    manifest["sha256"][name] = hashlib.sha256(data).hexdigest()
    (saved / "manifest.json").write_bytes(orjson.dumps(manifest))


def test_foreign_types_are_not_loaded(saved: Path) -> None:
    _forge(saved, "classifier.skops", skops.io.dumps({"a": Path("x").exists}))
    with pytest.raises(BadModel, match=r"foreign types|not a model"):
        Detector.load(saved)
    _forge(saved, "classifier.skops", skops.io.dumps([1, 2, 3]))
    with pytest.raises(BadModel, match="does not fit the features"):
        Detector.load(saved)


def test_trees_that_point_outside_themselves_are_not_loaded(trained: tuple[Detector, Report], saved: Path) -> None:
    for column, value in (("left", 10_000), ("right", 0), ("feature_idx", 10_000)):
        model = skops.io.loads(skops.io.dumps(trained[0].classifier), trusted=[
            "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor"])  # fmt: skip
        model._predictors[3][0].nodes[column][0] = value
        _forge(saved, "classifier.skops", skops.io.dumps(model))
        with pytest.raises(BadModel, match="points outside itself"):
            Detector.load(saved)


def test_a_model_of_another_version_is_refused(saved: Path) -> None:
    manifest = orjson.loads((saved / "manifest.json").read_bytes())
    (saved / "manifest.json").write_bytes(orjson.dumps({**manifest, "sklearn": "0.1.2"}))
    with pytest.raises(BadModel, match=r"trained with scikit-learn 0\.1"):
        Detector.load(saved)
    (saved / "manifest.json").write_bytes(orjson.dumps({**manifest, "format": 99}))
    with pytest.raises(BadModel, match="format 99"):
        Detector.load(saved)
