"""A cutover that has no room on the server's disk is refused before anything is made."""

from __future__ import annotations

import shutil
from types import SimpleNamespace

import psycopg
import pytest

from bedplate.database.cutover import CutoverError, Plan
from bedplate.database.cutover.machine.real import look_first
from tests.moving import moving

PLAN = Plan(tables="orders", key="organization_id", partitions=2)


def test_what_does_not_fit_is_said_at_the_first_look(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with moving(url, PLAN) as work:
        look_first(work)
        monkeypatch.setattr(shutil, "disk_usage", lambda folder: SimpleNamespace(free=10_000))
        with pytest.raises(CutoverError, match="GB are free"):
            look_first(work)
        with pytest.raises(psycopg.errors.UndefinedTable):
            work.connection.execute("SELECT FROM orders_partitioned")
