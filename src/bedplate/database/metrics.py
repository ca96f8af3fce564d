"""What the database measures, and what of it a person must know."""

from __future__ import annotations

from bedplate.declarations import Alert, Panel, Series
from bedplate.metric import Counter, Gauge, Histogram

__all__ = [
    "DURATION",
    "ERRORS",
    "MOST_STATEMENTS",
    "OPERATIONS",
    "POOL",
    "POOL_LIMIT",
    "POOL_USE",
    "POOL_WAIT",
    "STATEMENTS",
    "STATEMENT_SECONDS",
    "UP",
    "alerts",
    "panels",
]

OPERATIONS = ("select", "insert", "update", "delete", "other")

_NAME = {"database": 20}

DURATION = Histogram(
    "bedplate_database_query_duration_seconds",
    "How long a statement took, by its first word.",
    {**_NAME, "operation": OPERATIONS},
    unit="seconds",
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0),
)
#: Statements that are told apart, by fingerprint; those that come later are one.
MOST_STATEMENTS = 50
STATEMENTS = Counter(
    "bedplate_database_statements_total",
    "Statements by their fingerprint, which the log of slow ones explains.",
    {**_NAME, "statement": MOST_STATEMENTS + 1},
)
STATEMENT_SECONDS = Counter(
    "bedplate_database_statement_seconds_total",
    "Time that statements took, by their fingerprint.",
    {**_NAME, "statement": MOST_STATEMENTS + 1},
    unit="seconds",
)
ERRORS = Counter(
    "bedplate_database_errors_total",
    "Statements and connections that failed: the connection, or the statement itself.",
    {**_NAME, "kind": ("connection", "statement")},
)
POOL = Gauge("bedplate_database_pool_connections", "Connections in use.", _NAME)
POOL_LIMIT = Gauge("bedplate_database_pool_limit", "Most connections that all processes together may open.", _NAME)
_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
#: The primary and up to 16 replicas, ``replica1`` and so on.
_SERVER = {**_NAME, "server": 17}
POOL_WAIT = Histogram(
    "bedplate_database_pool_wait_seconds",
    "How long callers waited for a connection, tried or made anew if need be; refused ones, too.",
    _SERVER,
    unit="seconds",
    buckets=_SECONDS,
)
POOL_USE = Histogram(
    "bedplate_database_pool_use_seconds",
    "How long callers held a connection.",
    _SERVER,
    unit="seconds",
    buckets=(*_SECONDS, 30.0, 60.0),
)
UP = Gauge(
    "bedplate_database_up", "Whether every process reaches the database (1) or one does not (0).", _NAME, merge="min"
)


def alerts(name: str) -> tuple[Alert, ...]:
    """Return the alerts of one database."""
    duration, errors, up = DURATION(database=name), ERRORS(database=name, kind="statement"), UP(database=name)
    used, limit = POOL(database=name), POOL_LIMIT(database=name)
    wait = POOL_WAIT(database=name)
    waited = f'{POOL_WAIT.name}_bucket{{database="{name}",server="primary",le="%s"}}'
    slow = f'{DURATION.name}_bucket{{database="{name}",operation="select",le="%s"}}'
    return (
        Alert(
            name="DatabaseDown",
            expr=f"min({up}) == 0",
            summary="The database cannot be reached; what needs it is refused.",
            severity="critical",
            for_="1m",
            explains=True,
            fires=(Series(str(up), "1 0x10"),),
            quiet=(Series(str(up), "1 1 0 1x20"),),
        ),
        Alert(
            name="DatabaseSlow",
            expr=f"histogram_quantile(0.95, sum by (le) (rate({duration.bucket}[5m]))) > 2",
            summary="One in twenty statements takes longer than {{ $value | humanizeDuration }}.",
            fires=(Series(slow % "2.5", "0+1x30"), Series(slow % "5.0", "0+60x30"), Series(slow % "+Inf", "0+60x30")),
            quiet=(Series(slow % "0.1", "0+59x30"), Series(slow % "5.0", "0+60x30"), Series(slow % "+Inf", "0+60x30")),
        ),
        Alert(
            name="DatabaseStatementsFailing",
            expr=f"increase({errors}[10m]) > 10",
            summary='{{ $value | printf "%.0f" }} statements failed within 10 minutes.',
            for_="0s",
            fires=(Series(str(errors), "0x5 0+4x20"),),
            quiet=(Series(str(errors), "0x5 3x30"),),
        ),
        Alert(
            name="DatabasePoolExhausted",
            expr=f"sum({used}) / sum({limit}) >= 0.9",
            summary="{{ $value | humanizePercentage }} of the connections are in use; requests wait for one.",
            fires=(Series(str(used), "1 10x20"), Series(str(limit), "10x21")),
            quiet=(Series(str(used), "1 10 10 10 2x20"), Series(str(limit), "10x25")),
        ),
        Alert(
            name="DatabasePoolWaits",
            expr=f"histogram_quantile(0.95, sum by (le) (rate({wait.bucket}[5m]))) > 1",
            summary="One caller in twenty waits longer than {{ $value | humanizeDuration }} for a connection.",
            fires=tuple(Series(waited % le, f"0+{n}x30") for le, n in (("1.0", 50), ("2.5", 60), ("+Inf", 60))),
            quiet=tuple(Series(waited % le, f"0+{n}x30") for le, n in (("0.5", 59), ("1.0", 60), ("+Inf", 60))),
        ),
    )


def panels(name: str) -> tuple[Panel, ...]:
    """Return the panels of one database."""
    duration, row = DURATION(database=name), "Database" if name == "default" else f"Database {name}"
    return (
        Panel(title="Reachable", expr=f"min({UP(database=name)})", kind="stat", row=row, summary="By every process?"),
        Panel(
            title="Statements by operation",
            expr=(("{{operation}}", f"sum by (operation) (rate({duration.count}[5m]))"),),
            unit="ops",
            row=row,
        ),
        Panel(
            title="Statement duration",
            expr=tuple(
                (f"p{share}", f"histogram_quantile(0.{share}, sum by (le) (rate({duration.bucket}[5m])))")
                for share in ("50", "95", "99")
            ),
            unit="s",
            row=row,
        ),
        Panel(
            title="Errors",
            expr=(("{{kind}}", f"sum by (kind) (rate({ERRORS(database=name)}[5m]))"),),
            unit="ops",
            row=row,
        ),
        Panel(
            title="Dearest statements",
            expr=(
                (
                    "{{statement}}",
                    f"topk(10, sum by (statement) (rate({STATEMENT_SECONDS(database=name)}[5m])))",
                ),
            ),
            unit="s",
            row=row,
            summary="Seconds a second, by fingerprint; the log of slow statements has the text and the plan.",
        ),
        Panel(
            title="Commonest statements",
            expr=(("{{statement}}", f"topk(10, sum by (statement) (rate({STATEMENTS(database=name)}[5m])))"),),
            unit="ops",
            row=row,
        ),
        Panel(
            title="Connections in use",
            expr=(("in use", f"sum({POOL(database=name)})"), ("most", f"sum({POOL_LIMIT(database=name)})")),
            row=row,
        ),
        Panel(
            title="Wait for a connection",
            expr=_quantiles(POOL_WAIT(database=name)),
            unit="s",
            row=row,
            summary="Do callers wait before they may ask?",
        ),
        Panel(
            title="Use of a connection",
            expr=_quantiles(POOL_USE(database=name)),
            unit="s",
            row=row,
            summary="Who holds one for long keeps others waiting.",
        ),
    )


def _quantiles(times: Histogram) -> tuple[tuple[str, str], ...]:
    return tuple(
        (f"{{{{server}}}} p{share}", f"histogram_quantile(0.{share}, sum by (le, server) (rate({times.bucket}[5m])))")
        for share in ("50", "99")
    )
