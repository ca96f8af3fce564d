"""What health measures, and what of it a person must know."""

from __future__ import annotations

from bedplate.declarations import Alert, Check, Panel, Series
from bedplate.metric import Counter, Gauge, Histogram

__all__ = ["ALERTS", "CHECKS", "DURATION", "PANELS", "PROBE_UP", "READY", "RUNS", "TRANSITIONS"]

_PROBE_LABELS = {"component": 200, "probe": 200}

PROBE_UP = Gauge(
    "bedplate_health_probe_up",
    "Whether a probe is up (1) or down or not known yet (0), the worst of all processes.",
    _PROBE_LABELS,
    merge="min",
)
DURATION = Histogram(
    "bedplate_health_probe_duration_seconds",
    "How long a probe's check took.",
    _PROBE_LABELS,
    unit="seconds",
    buckets=(0.001, 0.005, 0.025, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0),
)
RUNS = Counter(
    "bedplate_health_probe_runs_total",
    "Runs of a probe by their outcome; hung ones have ignored being cancelled.",
    {**_PROBE_LABELS, "outcome": ("ok", "failed", "timeout", "hung")},
)
TRANSITIONS = Counter(
    "bedplate_health_probe_transitions_total",
    "Changes of a probe's status; many of them mean that it flaps.",
    _PROBE_LABELS,
)
READY = Gauge("bedplate_health_ready", "Whether every process takes requests (1) or one does not (0).", merge="min")
ALERTS = (
    Alert(
        name="HealthUnready",
        expr=f"min({READY}) == 0",
        summary="An instance takes no requests: a critical probe is down, or a component does not run.",
        severity="critical",
        for_="1m",
        fires=(Series(str(READY), "1 1 0x20"),),
        quiet=(Series(str(READY), "1 1 0 1x20"),),
    ),
    Alert(
        name="HealthProbeDown",
        expr=f"{PROBE_UP} == 0",
        summary="The probe {{ $labels.probe }} of {{ $labels.component }} is down.",
        for_="2m",
        fires=(Series(str(PROBE_UP(component="redis", probe="ping")), "1 0x20"),),
        quiet=(Series(str(PROBE_UP(component="redis", probe="ping")), "1 0 1x20"),),
    ),
    Alert(
        name="HealthProbeFlapping",
        expr=f"increase({TRANSITIONS}[30m]) > 6",
        summary="The probe {{ $labels.probe }} of {{ $labels.component }} goes up and down again and again.",
        for_="0s",
        fires=(Series(str(TRANSITIONS(component="redis", probe="ping")), "0+1x40"),),
        quiet=(Series(str(TRANSITIONS(component="redis", probe="ping")), "1x10 3x30"),),
    ),
)

PANELS = (
    Panel(title="Ready", expr=f"min({READY})", kind="stat", row="Health", summary="Does every process take requests?"),
    Panel(
        title="Probes",
        expr=(("{{component}} {{probe}}", f"min by (component, probe) ({PROBE_UP})"),),
        kind="table",
        row="Health",
        summary="Which probes are up?",
    ),
    Panel(
        title="Probe duration, 95th percentile",
        expr=(
            (
                "{{component}} {{probe}}",
                f"histogram_quantile(0.95, sum by (le, component, probe) (rate({DURATION.bucket}[5m])))",
            ),
        ),
        unit="s",
        row="Health",
    ),
    Panel(
        title="Probe runs by outcome",
        expr=(("{{outcome}}", f"sum by (outcome) (rate({RUNS}[5m]))"),),
        unit="ops",
        row="Health",
    ),
)

CHECKS = (
    Check(name="livez", path="/livez", summary="The process is alive.", group="health", within=0.25),
    Check(name="readyz", path="/readyz", summary="The service takes requests.", group="health", within=0.25),
    Check(name="healthz", path="/healthz", summary="Health in detail.", group="health", within=0.5, role="viewer"),
)
