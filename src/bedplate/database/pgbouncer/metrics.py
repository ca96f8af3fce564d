"""What is measured of a PgBouncer, and what of it a person must know."""

from __future__ import annotations

from bedplate.declarations import Alert, Panel, Series
from bedplate.metric import Counter, Gauge, Metric

__all__ = ["CLIENTS", "METRICS", "QUERIES", "SERVERS", "TRANSACTIONS", "UP", "WAIT", "WAITED", "alerts", "panels"]

_NAME = {"pgbouncer": 20}
_POOL = {**_NAME, "pool": 21}

UP = Gauge("bedplate_pgbouncer_up", "Whether its console answers (1) or not (0).", _NAME, merge="last")
CLIENTS = Gauge(
    "bedplate_pgbouncer_clients", "Clients in a transaction (active), and those that wait for a connection.",
    {**_POOL, "state": ("active", "waiting")}, merge="last",
)  # fmt: skip
SERVERS = Gauge(
    "bedplate_pgbouncer_servers", "Connections to the server: in a transaction (active), idle, or being made (other).",
    {**_POOL, "state": ("active", "idle", "other")}, merge="last",
)  # fmt: skip
WAIT = Gauge(
    "bedplate_pgbouncer_longest_wait_seconds", "How long the client that waits longest has waited.",
    _POOL, unit="seconds", merge="last",
)  # fmt: skip
TRANSACTIONS = Counter("bedplate_pgbouncer_transactions_total", "Transactions that went through it.", _POOL)
QUERIES = Counter("bedplate_pgbouncer_queries_total", "Statements that went through it.", _POOL)
WAITED = Counter(
    "bedplate_pgbouncer_wait_seconds_total", "Time that clients have waited for a connection.", _POOL, unit="seconds"
)

METRICS: tuple[Metric, ...] = (UP, CLIENTS, SERVERS, WAIT, TRANSACTIONS, QUERIES, WAITED)


def alerts(name: str) -> tuple[Alert, ...]:
    """Return the alerts of one PgBouncer."""
    up, wait = UP(pgbouncer=name), WAIT(pgbouncer=name)
    one = str(wait(pool="shop"))
    return (
        Alert(
            name="PgBouncerDown",
            expr=f"min({up}) == 0",
            summary="PgBouncer does not answer; the service cannot reach its database through it.",
            severity="critical",
            for_="1m",
            fires=(Series(str(up), "1 0x10"),),
            quiet=(Series(str(up), "1 1 0 1x20"),),
        ),
        Alert(
            name="PgBouncerClientsWaiting",
            expr=f"max by (pool) ({wait}) > 1",
            summary="Clients of {{ $labels.pool }} wait {{ $value | humanizeDuration }} for a connection.",
            for_="2m",
            fires=(Series(one, "0 2x10"),),
            quiet=(Series(one, "0 2 2 0 2 1x10"),),
        ),
    )


def panels(name: str) -> tuple[Panel, ...]:
    """Return the panels of one PgBouncer."""
    row = "PgBouncer" if name == "default" else f"PgBouncer {name}"
    clients, servers = CLIENTS(pgbouncer=name), SERVERS(pgbouncer=name)
    transactions, queries, waited = (one(pgbouncer=name) for one in (TRANSACTIONS, QUERIES, WAITED))
    return (
        Panel(title="PgBouncer answers", expr=f"min({UP(pgbouncer=name)})", kind="stat", row=row),
        Panel(
            title="Clients of PgBouncer",
            expr=(("{{pool}} {{state}}", f"max by (pool, state) ({clients})"),),
            row=row,
            summary="Does anybody wait for a connection?",
        ),
        Panel(
            title="Connections of PgBouncer to servers",
            expr=(("{{pool}} {{state}}", f"max by (pool, state) ({servers})"),),
            row=row,
        ),
        Panel(
            title="Longest wait in PgBouncer",
            expr=(("{{pool}}", f"max by (pool) ({WAIT(pgbouncer=name)})"),),
            unit="s",
            row=row,
        ),
        Panel(
            title="Through PgBouncer",
            expr=(
                ("{{pool}} transactions", f"max by (pool) (rate({transactions}[5m]))"),
                ("{{pool}} statements", f"max by (pool) (rate({queries}[5m]))"),
            ),
            unit="ops",
            row=row,
        ),
        Panel(
            title="Wait per transaction in PgBouncer",
            expr=(
                (
                    "{{pool}}",
                    f"max by (pool) (rate({waited}[5m])) / max by (pool) (rate({transactions}[5m]))",
                ),
            ),
            unit="s",
            row=row,
        ),
    )
