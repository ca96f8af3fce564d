"""The services that the demo runs, in one process."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fastapi import FastAPI

from bedplate.component import Component
from bedplate.database import PgBouncer
from bedplate.service import Process
from demo.companies import FEW, MANY, MadeUpOrganizations
from demo.pager import Pager
from demo.real import Real
from demo.trouble import Trouble
from ledger.service import build as build_ledger
from ledger.settings import LedgerSettings
from synfinance.service import build as build_synfinance
from synfinance.settings import SynFinanceSettings
from tradesense.service import build as build_tradesense
from tradesense.settings import TradeSenseSettings

__all__ = ["SERVICES", "SHARING", "TENANTS", "TIME_SCALE", "Demo", "build_demo", "build_process"]

#: The services by name; and those of them that share state among their instances.
SERVICES = ("synfinance", "tradesense", "ledger")
SHARING = ("tradesense", "ledger")
#: Those that keep their organisations apart by a role of the database.
TENANTS = ("ledger",)

#: Windows and waiting times of alerts are this much shorter, so that a demo need not last an hour.
TIME_SCALE = 0.05
#: Seconds between two samples; the shortest window, a minute's, must hold a few.
SAMPLED_EVERY = 0.5
#: Seconds between two looks at replicas and at PgBouncer, which production takes ten times as seldom.
LOOKED_EVERY = 2.0


@dataclass(frozen=True, slots=True)
class Demo:
    """The process, the trouble that traffic acts upon, and who is told of it."""

    process: Process
    trouble: Trouble
    pager: Pager


def build_demo(*, base: str = "", folder: Path | None = None, faults: bool = True, real: Real | None = None) -> Demo:
    """Return the services; nothing runs yet.

    Log records are not written to the terminal, where they would bury what people want to see: they are in a file, and
    the latest at ``/synfinance/monitoring/logs``. With ``REDIS_URL`` TradeSense and Ledger keep there what instances
    share.

    :param base: where it is served, ``http://127.0.0.1:8000``; without it nobody is told of alerts.
    :param folder: for log files and the database. :param faults: let faults come by turns. :param real: the servers
        that the services run on; without them each has a file for a database.
    """
    trouble, pager = Trouble(first=30.0 if faults else None), Pager()
    ours: dict[str, Any] = {
        "window": 300.0 * TIME_SCALE,
        # A tenth of the made-up bank's answers fail on good days.
        "http": {"availability": 0.9},
    }
    synfinance = build_synfinance(
        SynFinanceSettings(**_values("synfinance", base, folder, real), **ours),
        extra=[trouble, *_watched("synfinance", real)],
    )
    tradesense = build_tradesense(
        # All traders come from one address.
        TradeSenseSettings(
            **_values("tradesense", base, folder, real), quotes="made-up", sign_up_by_address="100/minute"
        ),
        extra=_watched("tradesense", real),
    )
    ledger = build_ledger(
        LedgerSettings(**_values("ledger", base, folder, real), organizations_limit="1000/minute"),
        extra=[MadeUpOrganizations(FEW if real is None else MANY), *_watched("ledger", real)],
    )
    assert isinstance(synfinance.app, FastAPI)
    synfinance.app.include_router(trouble.routes_of_the_bank())
    synfinance.app.include_router(pager.routes())
    return Demo(Process([synfinance, tradesense, ledger]), trouble, pager)


def _values(name: str, base: str, folder: Path | None, real: Real | None) -> dict[str, Any]:
    """Return the settings that all services of the demo have."""
    alerts: dict[str, Any] = {"time_scale": TIME_SCALE}
    values: dict[str, Any] = {
        "environment": "development",
        "logs": {"stream": "off", "directory": folder and folder / name},
        "samples": {"interval": SAMPLED_EVERY},
        "alerts": alerts,
    }
    if folder is not None:
        values["audit"] = {"file": folder / f"{name}.audit.jsonl"}
        values["console"] = {"outlast": False}
        values["database_url"] = f"sqlite:///{folder / name}.sqlite3"
    if real is not None:
        values |= {key: value for key, value in real.services[name].items() if key != "console"}
        values["database_replica_urls"] = (values["database_replica_urls"],)
        values["database"] = {"pooler": "transaction", "replica_interval": LOOKED_EVERY}
    if base:
        alerts["notify_urls"] = f"{base.replace('http', 'json', 1)}/synfinance/demo/pager"
        alerts["heartbeat_url"] = f"{base}/synfinance/demo/heartbeat"
    return values


def _watched(name: str, real: Real | None) -> list[Component]:
    """Return what shows the pools of the PgBouncer before a service's database."""
    return [] if real is None else [PgBouncer(real.services[name]["console"], interval=LOOKED_EVERY)]


def build_process() -> Process:
    """Return the services alone; for ``bedplate check demo.process:build_process`` and ``bedplate render``."""
    return build_demo().process
