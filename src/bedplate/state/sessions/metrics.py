"""What sessions measure, and what of it a person must know."""

from __future__ import annotations

from bedplate.declarations import Alert, Panel, Series
from bedplate.metric import Counter, Gauge
from bedplate.state.reach import reaches

__all__ = ["LOADS", "METRICS", "NEAR", "REMEMBERED", "UP", "WAITING", "WRITES", "alerts", "panels"]

_NAME = {"sessions": 20}

LOADS = Counter(
    "bedplate_sessions_loads_total",
    "Sessions that a request asked for, by where they came from.",
    {
        **_NAME,
        "outcome": (
            "near",  # held by this process
            "store",  # read from the store
            "known",  # held, while the store could not be asked
            "unknown",  # over, ended, or never ours
            "refused",  # not held, while the store could not be asked: 503
        ),
    },
)
WRITES = Counter(
    "bedplate_sessions_writes_total",
    "Changes of sessions, by what they were and what became of them.",
    {
        **_NAME,
        "kind": ("begin", "save", "touch", "rotate", "revoke", "revoke_all"),
        "outcome": (
            "done",
            "merged",  # another request had changed the session meanwhile; both changes are in it
            "gone",  # the session had ended meanwhile
            "refused",  # the store was away
        ),
    },
)
NEAR = Gauge("bedplate_sessions_near_users", "Users whose sessions processes hold near.", _NAME)
REMEMBERED = Gauge(
    "bedplate_sessions_revocations_remembered",
    "Ended sessions that a process remembers, so that none comes back with an old copy of the store.",
    _NAME,
    merge="max",
)
WAITING = Gauge("bedplate_sessions_revocations_waiting", "Revocations that the store has still to be told of.", _NAME)
UP = reaches("bedplate_sessions_up", _NAME)
METRICS = (LOADS, WRITES, NEAR, REMEMBERED, WAITING)

#: Unknown sessions a second beyond which somebody may be guessing.
GUESSES = 20


def alerts(name: str) -> tuple[Alert, ...]:
    """Return the alerts of the sessions of one name."""
    waiting = WAITING(sessions=name)
    refused = LOADS(sessions=name, outcome="refused")
    unknown = LOADS(sessions=name, outcome="unknown")
    unwritten = WRITES(sessions=name, outcome="refused")
    write = str(WRITES(sessions=name, kind="begin", outcome="refused"))
    return (
        Alert(
            name="SessionsRefused",
            expr=f"sum(increase({refused}[5m])) + sum(increase({unwritten}[5m])) > 0",
            summary='{{ $value | printf "%.0f" }} times in 5 minutes a session could not be looked up or changed: 503.',
            for_="0s",
            fires=(Series(str(refused), "0x30"), Series(write, "0x5 0+4x20")),
            quiet=(Series(str(refused), "0x30"), Series(write, "0x30")),
        ),
        Alert(
            name="SessionsRevocationsWaiting",
            expr=f"sum({waiting}) > 0",
            summary="{{ $value | humanize }} sessions that somebody ended are still good elsewhere.",
            for_="1m",
            fires=(Series(str(waiting), "0 2x10"),),
            quiet=(Series(str(waiting), "0 2 0x20"),),
        ),
        Alert(
            name="SessionsGuessed",
            expr=f"rate({unknown}[5m]) > {GUESSES}",
            summary="{{ $value | humanize }} unknown sessions a second: somebody tries cookies, or many are over.",
            for_="5m",
            fires=(Series(str(unknown), "0+3000x30"),),
            quiet=(Series(str(unknown), "0+300x30"),),
        ),
    )


def panels(name: str) -> tuple[Panel, ...]:
    """Return the panels of the sessions of one name."""
    row = "Sessions" if name == "default" else f"Sessions {name}"
    loads, writes = LOADS(sessions=name), WRITES(sessions=name)
    return (
        Panel(
            title="Sessions asked for",
            expr=(("{{outcome}}", f"sum by (outcome) (rate({loads}[5m]))"),),
            unit="reqps",
            row=row,
            summary="Where did they come from? Near costs nothing; known and refused mean that the store is away.",
        ),
        Panel(
            title="Changes of sessions",
            expr=(("{{kind}}", f'sum by (kind) (rate({writes.name}{{sessions="{name}",outcome!="refused"}}[5m]))'),),
            unit="ops",
            row=row,
            summary="How many sign in (begin) and out (revoke), and what else is written?",
        ),
        Panel(
            title="Changes refused, gone or merged",
            expr=(
                (
                    "{{kind}} {{outcome}}",
                    f'sum by (kind, outcome) (rate({writes.name}{{sessions="{name}",outcome!="done"}}[5m]))',
                ),
            ),
            unit="ops",
            row=row,
        ),
        Panel(
            title="Held and remembered",
            expr=(
                ("users near", f"sum({NEAR(sessions=name)})"),
                ("ended, remembered", f"max({REMEMBERED(sessions=name)})"),
                ("ended, not told", f"sum({WAITING(sessions=name)})"),
            ),
            row=row,
        ),
    )
