"""What sampling says of itself, and what of it a person must know."""

from __future__ import annotations

from bedplate.declarations import Alert, Panel, Series
from bedplate.metric import Counter, Gauge, Histogram

__all__ = ["ALERTS", "DROPPED", "DURATION", "KEPT", "MEMORY", "METRICS", "MISSED", "PANELS", "REACH", "TAKEN"]

TAKEN = Counter("bedplate_samples_taken_total", "Times at which all series were sampled.")
MISSED = Counter(
    "bedplate_samples_missed_total",
    "Times at which they were not: too late, because the wall clock ran backwards, or because the cells could not be "
    "read.",
    {"reason": ("late", "clock", "failed")},
)
DURATION = Histogram(
    "bedplate_samples_duration_seconds",
    "How long it took to sample all series, the turns of the event loop for others included.",
    unit="seconds",
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0),
)
KEPT = Gauge("bedplate_samples_series", "Series with samples that are kept.")
DROPPED = Gauge("bedplate_samples_dropped_series", "Series that are not kept, because there are too many.")
MEMORY = Gauge("bedplate_samples_memory_bytes", "Memory that samples take.", unit="bytes")
REACH = Gauge("bedplate_samples_reach_seconds", "How far back samples go.", unit="seconds", merge="max")

METRICS = (TAKEN, MISSED, DURATION, KEPT, DROPPED, MEMORY, REACH)

ALERTS = (
    Alert(
        name="SamplesSeriesDropped",
        expr=f"{DROPPED} > 0",
        summary="{{ $value }} series are not sampled: alerts and charts of this service do not see them.",
        for_="5m",
        fires=(Series(str(DROPPED), "12x10"),),
        quiet=(Series(str(DROPPED), "0 12x3 0x10"),),
    ),
    Alert(
        name="SamplesLate",
        expr=f"sum(increase({MISSED}[10m])) > 6",
        summary="The service misses samples of itself; its own alerts may be late.",
        for_="0s",
        fires=(Series(str(MISSED(reason="late")), "0+1x20"),),
        quiet=(Series(str(MISSED(reason="late")), "0 3x20"), Series(str(MISSED(reason="clock")), "0x20")),
    ),
)

PANELS = (
    Panel(
        title="Series sampled",
        expr=(("kept", str(KEPT)), ("not kept", str(DROPPED))),
        row="Samples",
        summary="How many series does the service keep of itself?",
    ),
    Panel(title="Memory of samples", expr=str(MEMORY), unit="bytes", row="Samples"),
    Panel(title="Samples go back for", expr=str(REACH), unit="s", kind="stat", row="Samples"),
    Panel(
        title="Time to take a sample, 95th percentile",
        expr=f"histogram_quantile(0.95, sum by (le) (rate({DURATION.bucket}[5m])))",
        unit="s",
        row="Samples",
    ),
    Panel(
        title="Samples taken and missed",
        expr=(
            ("taken", f"sum(rate({TAKEN}[5m]))"),
            ("missed: {{reason}}", f"sum by (reason) (rate({MISSED}[5m]))"),
        ),
        unit="ops",
        row="Samples",
    ),
)
