"""What a run makes of its measurements. Nothing here measures."""

from __future__ import annotations

import json

import pytest

from benchmarks import report, series
from benchmarks.__main__ import SUITES, chosen
from benchmarks.contestant import Contestant, ContestantError
from benchmarks.lab import Lab
from benchmarks.results import Goal, Measure, Row
from benchmarks.spread import Spread, differences, significant
from benchmarks.suites.http_load import rate_of


def row(ratio: float | None, *, op: str = "<=", value: float = 0.5, of: str = "ratio", ours: float = 1.0) -> Row:
    measure = Measure("Bedplate", "µs CPU", Spread.of([ours]))
    peer = Measure("peer", "µs CPU", Spread.of([4.0]))
    return Row("X1", "Something", measure, (peer,), Goal(of, op, value, "a goal"), ratio)  # type: ignore[arg-type]


def test_a_spread_is_told_by_its_median_and_its_ends() -> None:
    spread = Spread.of([3.0, 1.0, 10.0, 2.0])
    assert (spread.least, spread.median, spread.greatest, spread.rounds) == (1.0, 2.5, 10.0, 4)


def test_nothing_measured_is_refused() -> None:
    with pytest.raises(ValueError, match="no measurements"):
        Spread.of([])


def test_what_is_added_is_taken_round_by_round() -> None:
    # The second round was slow for both: only what was added in it counts.
    assert differences([12.0, 32.0], [10.0, 29.0]) == [2.0, 3.0]
    with pytest.raises(ValueError):
        differences([1.0], [1.0, 2.0])


@pytest.mark.parametrize(("value", "shown"), [(123456.0, 123500.0), (0.000123456, 0.0001235), (0.0, 0.0)])
def test_numbers_are_not_more_exact_than_measurements(value: float, shown: float) -> None:
    assert significant(value) == shown


@pytest.mark.parametrize(
    ("ratio", "op", "value", "of", "ours", "met"),
    [
        (0.5, "<=", 0.5, "ratio", 9.0, True),
        (0.51, "<=", 0.5, "ratio", 0.0, False),
        (25.0, ">=", 25.0, "ratio", 0.0, True),
        (24.9, ">=", 25.0, "ratio", 99.0, False),
        (None, "<=", 5.0, "ours", 4.9, True),
        (None, "<=", 5.0, "ours", 5.1, False),
        (None, "<=", 5.0, "ratio", 0.0, False),
    ],
)
def test_a_goal_judges_the_ratio_or_ours(
    ratio: float | None, op: str, value: float, of: str, ours: float, met: bool
) -> None:
    assert row(ratio, op=op, value=value, of=of, ours=ours).met is met


def test_a_row_says_all_that_a_program_needs() -> None:
    data = json.loads(json.dumps(row(0.25).to_json()))
    assert set(data) == {"id", "what", "ours", "peers", "ratio", "goal", "met"}
    assert data["ours"] == {"name": "Bedplate", "unit": "µs CPU", "value": 1.0, "min": 1.0, "max": 1.0, "rounds": 1}
    assert data["peers"][0]["value"] == 4.0
    assert data["goal"] == {"of": "ratio", "op": "<=", "value": 0.5}
    assert (data["ratio"], data["met"]) == (0.25, True)


def test_ids_choose_suites_and_a_number_is_not_a_prefix() -> None:
    assert chosen([]) == list(SUITES)
    assert [suite.ids for suite in chosen(["p2"])] == [("P1a", "P1b", "P2a", "P2b")]
    assert [suite.ids for suite in chosen(["P21"])] == [("P21a", "P21b")]
    assert [suite.ids for suite in chosen(["H1", "P6"])] == [("P6a", "P6b"), ("P6c",), ("H1",)]
    with pytest.raises(ValueError, match="P99"):
        chosen(["P1", "P99"])


def test_every_threshold_has_one_suite() -> None:
    ids = [row for suite in SUITES for row in suite.ids]
    wanted = "P1a P1b P2a P2b P3 P4 P5 P6a P6b P6c P24a P24b P24c P24d H1 C1a C1b C2 P21a P21b"
    wanted += " P7a P7b P8a P8b P9a P9b P10a P10b P11a P11b P12a P12b P13a P13b P23a P23b P23c P25 P16b"
    wanted += " P16a P16c P17a P17b P17c P17d P17e P17f P17g P17h P18a P18b P18c P18d P25b"
    wanted += " P19a P19b P19c P19d P20a P20b"
    assert sorted(ids) == sorted(wanted.split())


def test_the_table_says_what_was_missed() -> None:
    page = report.page(SUITES, [row(0.25), row(0.75)], quick=True, seconds=60)
    assert "1 of 2 goals were met" in page
    assert "| X1 | Something | 1 µs | 4 µs | 1/4.0 | a goal | yes |" in page
    assert "| X1 | Something | 1 µs | 4 µs | 1/1.3 | a goal | **no** |" in page
    assert "Missed: X1, 0.75 where a goal was wanted." in page


@pytest.mark.parametrize(("value", "shown"), [(1234567.8, "1,234,568"), (999.4, "999"), (0.01234, "0.0123"), (0, "0")])
def test_numbers_are_shown_as_people_read_them(value: float, shown: str) -> None:
    assert report.number(value) == shown


def test_wrk_is_believed_only_when_every_answer_was_good() -> None:
    assert rate_of("Requests/sec:   9876.54\nTransfer/sec: 1MB\n") == 9876.54
    for trouble in ("Non-2xx or 3xx responses: 3\n", "  Socket errors: connect 0, read 7, write 0, timeout 0\n"):
        assert rate_of(trouble + "Requests/sec:   9876.54\n") is None
    assert rate_of("") is None


@pytest.mark.parametrize("count", [1_000, series.SERIES])
def test_both_registries_expose_the_same_series(count: int) -> None:
    from prometheus_client import generate_latest

    plan = series.Plan(count)
    assert plan.counters + plan.gauges + plan.histograms * (len(series.BUCKETS) + 3) == count
    registry, updates = series.peers(count)
    series.shake(updates, 1)
    text = generate_latest(registry)
    assert series.lines(text) == count


async def test_ours_exposes_as_many() -> None:
    registry, updates = series.ours(None)
    series.shake(updates, 1)
    assert series.lines(await registry.render()) == series.SERIES


def test_turns_are_taken_forth_and_back() -> None:
    taken: list[str] = []

    class Fake:
        def __init__(self, name: str) -> None:
            self.name = name

        def __call__(self, **command: object) -> int:
            taken.append(self.name)
            return len(taken)

    results = Lab.interleave({"a": Fake("a"), "b": Fake("b")}, 3)  # type: ignore[dict-item]
    assert "".join(taken) == "abbaab"
    assert results == {"a": [1, 4, 5], "b": [2, 3, 6]}


def test_a_contestant_answers_from_a_process_of_its_own() -> None:
    with Contestant("benchmarks.suites.access_log:ours") as contestant:
        assert contestant(records=10) > 0
        assert contestant.complaints == ""


def test_a_contestant_that_fails_says_why() -> None:
    contestant = Contestant("benchmarks.nowhere:make")
    with pytest.raises(ContestantError, match=r"No module named 'benchmarks\.nowhere'"):
        contestant.wait()
    contestant.close()
