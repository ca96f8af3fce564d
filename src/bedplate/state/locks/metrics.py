"""What locks measure, and what of it a person must know."""

from __future__ import annotations

from bedplate.declarations import Alert, Panel, Series
from bedplate.metric import Counter, Gauge, Histogram
from bedplate.state.reach import reaches

__all__ = [
    "ACQUISITIONS",
    "AVAILABLE",
    "CANDIDATES",
    "HELD",
    "HOLDING",
    "LEADERS",
    "LEADING",
    "LED",
    "LONGEST",
    "LOST",
    "METRICS",
    "OWED",
    "REASONS",
    "WAIT",
    "WAITING",
    "alerts",
    "panels",
]

_NAME = {"locks": 20}
_BUCKETS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
#: Why a lock was lost: its time was over, somebody took it by force, or the service stopped.
REASONS = ("expired", "taken", "stopped")
OUTCOMES = ("acquired", "taken", "unavailable", "cancelled")

ACQUISITIONS = Counter(
    "bedplate_locks_acquisitions_total",
    "Attempts to take a lock: acquired, taken by somebody else, unavailable with the store, or cancelled.",
    {**_NAME, "outcome": OUTCOMES},
)
WAIT = Histogram(
    "bedplate_locks_wait_seconds", "How long it took to get a lock.", _NAME, unit="seconds", buckets=_BUCKETS
)
HOLDING = Histogram(
    "bedplate_locks_holding_seconds", "How long a lock was held.", _NAME, unit="seconds", buckets=_BUCKETS
)
LOST = Counter(
    "bedplate_locks_lost_total",
    "Locks lost while they were held: not renewed in time (expired), taken by an operator, or given up at a stop.",
    {**_NAME, "reason": REASONS},
)
HELD = Gauge("bedplate_locks_held", "Locks that are held.", _NAME)
WAITING = Gauge("bedplate_locks_waiting", "Attempts that wait for a lock.", _NAME)
OWED = Gauge("bedplate_locks_owed", "Locks and turns that could not be given back yet.", _NAME)
LONGEST = Gauge(
    "bedplate_locks_longest_holding_seconds",
    "For how long the lock that is held longest has been held, those of leaders aside.",
    _NAME,
    unit="seconds",
    merge="max",
)
AVAILABLE = reaches("bedplate_locks_available", _NAME)
LEADING = Gauge("bedplate_locks_leading", "Processes that lead: whether it is one of ours.", {**_NAME, "lease": 100})
LED = Gauge(
    "bedplate_locks_led",
    "Whether anybody is known to lead, by who leads or stands by for it.",
    {**_NAME, "lease": 100},
    merge="max",
)
CANDIDATES = Gauge("bedplate_locks_candidates", "Processes that lead or stand by for it.", {**_NAME, "lease": 100})
LEADERS = Counter("bedplate_locks_leaders_total", "Times that a process began to lead.", {**_NAME, "lease": 100})

METRICS = (
    ACQUISITIONS,
    WAIT,
    HOLDING,
    LOST,
    HELD,
    WAITING,
    OWED,
    LONGEST,
    CANDIDATES,
    LEADING,
    LED,
    LEADERS,
)


def alerts(name: str) -> tuple[Alert, ...]:
    """Return the alerts of one component."""
    longest = LONGEST(locks=name)
    taken, all_of_them = ACQUISITIONS(locks=name, outcome="taken"), ACQUISITIONS(locks=name)
    acquired = ACQUISITIONS(locks=name, outcome="acquired")
    expired, led = LOST(locks=name, reason="expired"), LED(locks=name, lease="digest")
    candidates = CANDIDATES(locks=name, lease="digest")
    changes = LEADERS(locks=name, lease="digest")
    return (
        Alert(
            name="LocksLost",
            expr=f"increase({expired}[10m]) > 0",
            summary='{{ $value | printf "%.0f" }} locks were lost while they were held; their work was cut short.',
            for_="0s",
            fires=(Series(str(expired), "0x5 2x20"),),
            quiet=(Series(str(expired), "2x30"),),
        ),
        Alert(
            name="LocksContended",
            expr=f"sum(rate({taken}[10m])) / sum(rate({all_of_them}[10m])) > 0.1",
            summary="{{ $value | humanizePercentage }} of those who want a lock wait for it in vain.",
            for_="10m",
            fires=(Series(str(taken), "0+20x40"), Series(str(acquired), "0+80x40")),
            quiet=(Series(str(taken), "0+1x40"), Series(str(acquired), "0+99x40")),
        ),
        Alert(
            name="LocksHeldLong",
            expr=f"max({longest}) > 600",
            summary="A lock has been held for {{ $value | humanizeDuration }}; whoever wants it waits in vain.",
            for_="5m",
            fires=(Series(str(longest), "0+60x30"),),
            quiet=(Series(str(longest), "0+60x9 0x20"),),
        ),
        Alert(
            name="LocksNoLeader",
            expr=f"max by (lease) ({LED(locks=name)}) == 0 and sum by (lease) ({CANDIDATES(locks=name)}) > 0",
            summary="Nobody does what {{ $labels.lease }} is the lease for.",
            for_="2m",
            fires=(Series(str(led), "1 0x10"), Series(str(candidates), "2x11")),
            quiet=(Series(str(led), "1 0x10"), Series(str(candidates), "1 0x10")),
        ),
        Alert(
            name="LocksLeadersChanging",
            expr=f"sum by (lease) (increase({LEADERS(locks=name)}[15m])) > 5",
            summary='{{ $labels.lease }} went from one process to another {{ $value | printf "%.0f" }} times.',
            for_="0s",
            fires=(Series(str(changes), "0+1x30"),),
            quiet=(Series(str(changes), "0 1x30"),),
        ),
    )


def panels(name: str) -> tuple[Panel, ...]:
    """Return the panels of one component."""
    row = "Locks" if name == "default" else f"Locks {name}"

    def shares(metric: Histogram) -> tuple[tuple[str, str], ...]:
        buckets = f"sum by (le) (rate({metric(locks=name).bucket}[5m]))"
        return tuple((f"p{share}", f"histogram_quantile(0.{share}, {buckets})") for share in ("50", "95", "99"))

    return (
        Panel(
            title="Attempts to take a lock",
            expr=(("{{outcome}}", f"sum by (outcome) (rate({ACQUISITIONS(locks=name)}[5m]))"),),
            unit="ops",
            row=row,
        ),
        Panel(title="Time until a lock is held", expr=shares(WAIT), unit="s", row=row, summary="Is it contended?"),
        Panel(title="Time that a lock is held", expr=shares(HOLDING), unit="s", row=row),
        Panel(
            title="Held, and waited for",
            expr=(
                ("held", f"sum({HELD(locks=name)})"),
                ("waiting", f"sum({WAITING(locks=name)})"),
                ("not given back yet", f"sum({OWED(locks=name)})"),
            ),
            row=row,
        ),
        Panel(title="Held longest", expr=f"max({LONGEST(locks=name)})", unit="s", row=row, summary="Is one stuck?"),
        Panel(
            title="Locks lost",
            expr=(("{{reason}}", f"sum by (reason) (increase({LOST(locks=name)}[5m]))"),),
            row=row,
            summary="Each is work that was cut short.",
        ),
        Panel(
            title="Leaders",
            expr=(
                ("{{lease}}: processes of ours that lead", f"sum by (lease) ({LEADING(locks=name)})"),
                ("{{lease}}: somebody leads", f"max by (lease) ({LED(locks=name)})"),
                ("{{lease}}: lead or stand by", f"sum by (lease) ({CANDIDATES(locks=name)})"),
            ),
            row=row,
        ),
        Panel(
            title="Changes of leaders",
            expr=(("{{lease}}", f"sum by (lease) (increase({LEADERS(locks=name)}[15m]))"),),
            row=row,
        ),
    )
