"""What is measured of cutovers, and what of it a person must know."""

from __future__ import annotations

from bedplate.database.cutover.work import STATES
from bedplate.declarations import Alert, Check, Dashboard, Panel, Series, Threshold
from bedplate.metric import Counter, Gauge, Histogram, Metric

__all__ = [
    "ACTS",
    "BRAKE",
    "COMMIT",
    "DELTA",
    "DIFFERING",
    "DOUBTS",
    "FAILURES",
    "HELD",
    "LAG",
    "METRICS",
    "PARTITIONS",
    "PENDING",
    "PROGRESS",
    "PROOF_LIMIT",
    "READINESS",
    "REPAIRED",
    "ROWS",
    "RUNNER",
    "STATE",
    "VERIFIED_AGE",
    "WAITS",
    "WANTED",
    "alerts",
    "checks",
    "panels",
]

_NAME = {"cutover": 20}
_TABLE = {**_NAME, "table": 100}
ACTS = (
    "preflight",
    "prepare",
    "capture",
    "backfill",
    "index",
    "sync",
    "verify",
    "repair",
    "tend",
    "switch",
    "rollback",
    "undo",
    "finalize",
)
#: Locks that writers wait for are held for milliseconds.
_HELD = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0)

STATE = Gauge(
    "bedplate_cutover_state", "How far the cutover is: 1 for its state, 0 for the others.",
    {**_NAME, "state": (*STATES, "not needed")}, merge="last",
)  # fmt: skip
ROWS = Counter(
    "bedplate_cutover_rows_total", "Rows copied, replayed, compared and repaired, by step.",
    {**_TABLE, "step": 20},
)  # fmt: skip
PROGRESS = Gauge(
    "bedplate_cutover_progress_ratio", "How far the present step is with a table, of an estimate.", _TABLE, merge="last"
)
PENDING = Gauge(
    "bedplate_cutover_pending_keys", "Keys that changed and are not yet replayed; -1 when nobody knows.",
    _TABLE, merge="last",
)  # fmt: skip
DELTA = Gauge(
    "bedplate_cutover_row_delta", "By how many rows both sides differed at the last comparison, replays aside.",
    _TABLE, merge="last",
)  # fmt: skip
DIFFERING = Gauge(
    "bedplate_cutover_differing_rows", "Rows that differed between both sides at the last comparison.",
    _TABLE, merge="last",
)  # fmt: skip
REPAIRED = Gauge(
    "bedplate_cutover_repaired_rows", "Rows that the last comparison or repair made equal.", _TABLE, merge="last"
)
VERIFIED_AGE = Gauge(
    "bedplate_cutover_verified_age_seconds", "Since when both sides were last proven equal; absent before.",
    _NAME, unit="seconds", merge="last",
)  # fmt: skip
PROOF_LIMIT = Gauge(
    "bedplate_cutover_proof_limit_seconds", "How old a proof may be for a switch.",
    _NAME, unit="seconds", merge="last",
)  # fmt: skip
HELD = Histogram(
    "bedplate_cutover_lock_held_seconds", "How long locks were held that writers wait for.",
    {**_NAME, "what": 10}, unit="seconds", buckets=_HELD,
)  # fmt: skip
LAG = Gauge(
    "bedplate_cutover_replica_lag_seconds", "How far the last replica is behind, as the primary sees it.",
    _NAME, unit="seconds", merge="last",
)  # fmt: skip
COMMIT = Gauge(
    "bedplate_cutover_commit_seconds", "What a small commit takes beside the cutover, as writers feel it.",
    _NAME, unit="seconds", merge="last",
)  # fmt: skip
BRAKE = Gauge("bedplate_cutover_rest_ratio", "The share of its time that the worker rests.", _NAME, merge="last")
READINESS = Gauge(
    "bedplate_cutover_readiness_ratio", "The share of the checks before a switch that pass.", _NAME, merge="last"
)
WANTED = Gauge(
    "bedplate_cutover_wanted", "Whether there is something for a worker to do (1) or not (0).", _NAME, merge="last"
)
RUNNER = Gauge("bedplate_cutover_runner", "Whether a worker holds the cutover (1) or not (0).", _NAME, merge="last")
DOUBTS = Gauge(
    "bedplate_cutover_doubts", "Tables whose log of changes, or partitions, somebody has touched since the last proof.",
    _NAME, merge="last",
)  # fmt: skip
WAITS = Gauge("bedplate_cutover_waits", "Whether it waits for somebody to mend something.", _NAME, merge="last")
FAILURES = Counter("bedplate_cutover_failures_total", "Steps that failed or were refused.", {**_NAME, "step": ACTS})

METRICS: tuple[Metric, ...] = (
    STATE,
    ROWS,
    PROGRESS,
    PENDING,
    DELTA,
    DIFFERING,
    REPAIRED,
    VERIFIED_AGE,
    PROOF_LIMIT,
    HELD,
    LAG,
    COMMIT,
    BRAKE,
    READINESS,
    WANTED,
    RUNNER,
    WAITS,
    DOUBTS,
    FAILURES,
)

PARTITIONS = Dashboard(
    name="partitions", title="Partitions", summary="Tables on their way to partitions.", rows=("Standing", "Work")
)


def alerts(name: str) -> tuple[Alert, ...]:
    """Return the alerts of one cutover."""
    delta, differing = DELTA(cutover=name), DIFFERING(cutover=name)
    wanted, runner, waits = WANTED(cutover=name), RUNNER(cutover=name), WAITS(cutover=name)
    age, limit, failed = VERIFIED_AGE(cutover=name), PROOF_LIMIT(cutover=name), FAILURES(cutover=name, step="switch")
    copied, copying = ROWS(cutover=name, step="backfill"), STATE(cutover=name, state="backfilling")
    pending, doubts = PENDING(cutover=name), DOUBTS(cutover=name)
    keys = str(pending(table="orders"))
    one, other = str(delta(table="orders")), str(differing(table="orders"))
    rows = str(copied(table="orders"))
    return (
        Alert(
            name="CutoverRowDeltaHigh",
            expr=f"max by (table) ({delta}) >= 10",
            summary="{{ $labels.table }} and its other side differ by {{ $value }} rows; it is not switched so.",
            fires=(Series(one, "0 10x20"),),
            quiet=(Series(one, "0 12 9x20"),),
        ),
        Alert(
            name="CutoverRowDeltaCritical",
            expr=f"max by (table) ({delta}) > 100",
            summary="{{ $labels.table }} and its other side differ by {{ $value }} rows.",
            severity="critical",
            for_="1m",
            fires=(Series(one, "0 101x20"),),
            quiet=(Series(one, "0 100x20"),),
        ),
        Alert(
            name="CutoverNotEqual",
            expr=f"max by (table) ({differing}) > 0",
            summary="{{ $value }} rows of {{ $labels.table }} differ between both sides.",
            severity="critical",
            for_="1m",
            fires=(Series(other, "0 1x20"),),
            quiet=(Series(other, "0x20"),),
        ),
        Alert(
            name="CutoverStalled",
            expr=f"sum(increase({copied}[10m])) == 0 and max({copying}) == 1 and max({waits}) == 0",
            summary="The tables are being copied, and no row has been for ten minutes.",
            fires=(Series(rows, "0+50x5 250x40"), Series(str(copying), "1x45"), Series(str(waits), "0x45")),
            quiet=(Series(rows, "0+50x45"), Series(str(copying), "1x45"), Series(str(waits), "0x45")),
        ),
        Alert(
            name="CutoverFallingBehind",
            expr=f"max by (table) ({pending}) > 10000",
            summary="{{ $value | humanize }} changed keys of {{ $labels.table }} are still to be replayed.",
            for_="10m",
            fires=(Series(keys, "0 20000x30"),),
            quiet=(Series(keys, "0 20000 20000 20000 100x30"),),
        ),
        Alert(
            name="CutoverWaits",
            expr=f"max({waits}) == 1",
            summary="The cutover waits for somebody to mend something; until then the logs of keys grow.",
            for_="2m",
            fires=(Series(str(waits), "0 1x20"),),
            quiet=(Series(str(waits), "0 1 0x20"),),
        ),
        Alert(
            name="CutoverRunnerAbsent",
            expr=f"max({wanted}) - max({runner}) > 0",
            summary="Something is to be done for the cutover, and nobody does it.",
            for_="3m",
            fires=(Series(str(wanted), "1x20"), Series(str(runner), "0x20")),
            quiet=(Series(str(wanted), "1x20"), Series(str(runner), "0 1x20")),
        ),
        Alert(
            name="CutoverUnproven",
            expr=f"max({age}) > 2 * max({limit})",
            summary="Both sides were last proven equal {{ $value | humanizeDuration }} ago.",
            for_="10m",
            fires=(Series(str(age), "1900+60x30"), Series(str(limit), "900x31")),
            quiet=(Series(str(age), "1000x30"), Series(str(limit), "900x31")),
        ),
        Alert(
            name="CutoverProofBroken",
            expr=f"max({doubts}) > 0",
            summary="Somebody has touched what logs changes, or partitions: the last proof says nothing any more.",
            severity="critical",
            for_="0s",
            fires=(Series(str(doubts), "0x5 1x20"),),
            quiet=(Series(str(doubts), "0x25"),),
        ),
        Alert(
            name="CutoverSwitchFailed",
            expr=f"increase({failed}[1h]) > 0",
            summary="The switch did not come about; everything is as it was.",
            for_="0s",
            fires=(Series(failed.selector(), "0x5 1x20"),),
            quiet=(Series(failed.selector(), "0x25"),),
        ),
    )


def panels(name: str) -> tuple[Panel, ...]:
    """Return the panels of one cutover."""
    prefix = "" if name == "default" else f"{name}: "

    def panel(
        title: str,
        expr: str | tuple[tuple[str, str], ...],
        summary: str,
        row: str,
        *,
        unit: str = "",
        kind: str = "line",
        thresholds: tuple[Threshold, ...] = (),
    ) -> Panel:
        return Panel(
            title=f"{prefix}{title}" if prefix else title,
            expr=expr,
            summary=summary,
            row=row,
            unit=unit,
            kind=kind,  # type: ignore[arg-type]
            dashboard=PARTITIONS,
            thresholds=thresholds,
        )

    def of(metric: Metric, *by: str) -> str:
        narrowed = metric(cutover=name)
        return f"max by ({', '.join(by)}) ({narrowed})" if by else f"max({narrowed})"

    ready = (Threshold(value=1.0, severity="warning", label="ready", above=False),)
    held = HELD(cutover=name)
    return (
        panel("State", (("{{state}}", of(STATE, "state")),), "How far is it?", "Standing", kind="state"),
        panel("Readiness", of(READINESS), "May it be switched?", "Standing", unit="percentunit", thresholds=ready),
        panel("Row delta", (("{{table}}", of(DELTA, "table")),), "Do the counts differ?", "Standing"),
        panel(
            "Rows that differ",
            (
                ("{{table}}", of(DIFFERING, "table")),
                ("{{table}} repaired", of(REPAIRED, "table")),
                ("tables in doubt", of(DOUBTS)),
            ),
            "Are both sides the same, to the row?",
            "Standing",
        ),
        panel(
            "Age of the proof",
            (("age", of(VERIFIED_AGE)), ("may be", of(PROOF_LIMIT))),
            "When were they last proven equal?",
            "Standing",
            unit="s",
        ),
        panel(
            "Wanted and run",
            (("wanted", of(WANTED)), ("a worker runs", of(RUNNER)), ("waits for somebody", of(WAITS))),
            "Does somebody do what is wanted?",
            "Standing",
        ),
        panel(
            "Rows by step",
            (("{{table}} {{step}}", f"sum by (table, step) (rate({ROWS(cutover=name)}[5m]))"),),
            "How fast does it go?",
            "Work",
            unit="ops",
        ),
        panel("Progress", (("{{table}}", of(PROGRESS, "table")),), "How far is the step?", "Work", unit="percentunit"),
        panel("Pending keys", (("{{table}}", of(PENDING, "table")),), "Does replay keep up with writers?", "Work"),
        panel(
            "Locks held",
            (("{{what}}", f"histogram_quantile(1, sum by (what, le) (rate({held.bucket}[1h])))"),),
            "How long did writers have to wait?",
            "Work",
            unit="s",
        ),
        panel(
            "Beside it",
            (("a commit takes", of(COMMIT)), ("replicas are behind", of(LAG))),
            "Do writers or replicas suffer?",
            "Work",
            unit="s",
        ),
        panel("Rest", of(BRAKE), "How much does it hold back?", "Work", unit="percentunit"),
        panel(
            "Failed steps",
            (("{{step}}", f"sum by (step) (increase({FAILURES(cutover=name)}[1h]))"),),
            "What did not come about within an hour?",
            "Work",
        ),
    )


def checks(name: str, prefix: str) -> tuple[Check, ...]:
    """Return the checks of partition sync; :param prefix: of the management API."""
    which = "" if name == "default" else f"{name}-"
    path, stats = f"{prefix}/partitions/metrics", f"{prefix}/partitions/table-stats"
    query = "" if name == "default" else f"?cutover={name}"

    def check(what: str, summary: str, at: str, *fields: str, optional: bool = False) -> Check:
        return Check(
            name=f"partitions-{which}{what}",
            path=f"{at}{query}",
            summary=summary,
            group="partition sync",
            role="viewer",
            within=2.0,
            fields=fields,
            optional=optional,
        )

    return (
        check("tables", "The tables that move are known.", path, "tables", "state"),
        check("delta", "The difference of rows of both sides is known.", path, "rowDelta", "thresholds.critical"),
        check("writes", "Recent writes are looked at on both sides.", stats, "recentWrites"),
        check("readiness", "Its readiness is judged.", path, "switchoverReadiness.score", "switchoverReadiness.ready"),
        check("sizes", "Rows and sizes of each table are told.", stats, "tables", "checkedAt"),
    )
