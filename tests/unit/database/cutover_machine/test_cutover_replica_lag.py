"""Copying waits for a replica that stalls, and goes on when it follows again."""

from __future__ import annotations

import time
from typing import Any

import psycopg

from bedplate.database.cutover.machine.control import Control
from bedplate.database.cutover.machine.following import Following
from bedplate.database.cutover.machine.senses import feel
from tests.postgres import Postgres, replica


def test_copying_stands_while_a_replica_does(server: Postgres, machine_connection: psycopg.Connection[Any]) -> None:
    moments = iter((0.0, 1.0, 8.0))
    last = [0.0]

    def now() -> float:
        last.append(next(moments, last[-1]))
        return last[-1]

    following, control = Following(now), Control()
    assert following.lag(machine_connection) is None
    with replica(server) as behind:
        behind.pause_replay()
        machine_connection.execute("CREATE TABLE stalled AS SELECT 1 AS one")
        feel(machine_connection, control, following)
        feel(machine_connection, control, following)
        assert control.brake.stands and control.brake.lag >= 7.0
        behind.resume_replay()
        end = time.monotonic() + 60
        while control.brake.stands:
            assert time.monotonic() < end
            time.sleep(0.02)
            feel(machine_connection, control, following)
