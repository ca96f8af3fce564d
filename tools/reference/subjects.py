"""The services that the reference describes, built as they are, with nothing started."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache

from bedplate.component import Component
from bedplate.service import Service
from bedplate.settings import Settings, Sources
from bedplate.state.limits import RateLimit
from ledger import service as ledger
from ledger.settings import LedgerSettings
from synfinance import service as synfinance
from synfinance.settings import SynFinanceSettings
from tradesense import service as tradesense
from tradesense.settings import TradeSenseSettings

__all__ = ["components", "library", "services"]


@cache
def library() -> Service:
    """Return a service of every component that Bedplate has."""
    return Service("service", None, [RateLimit(limits="100/minute")], settings=Settings(_sources=Sources.none()))


@cache
def services() -> dict[str, Service]:
    """Return the services by the heading they have in the reference."""
    with SynFinanceSettings.collecting(Sources.none()) as of_synfinance:
        pass
    with TradeSenseSettings.collecting(Sources.none()) as of_tradesense:
        pass
    with LedgerSettings.collecting(Sources.none()) as of_ledger:
        pass
    return {
        "Bedplate": library(),
        "SynFinance": synfinance.build(of_synfinance),
        "TradeSense": tradesense.build(of_tradesense),
        "Ledger": ledger.build(of_ledger),
    }


def components(service: Service) -> Iterator[Component]:
    """Yield the components of a service in the order of the reference: its own, without Bedplate's, by label."""
    known = {component.spec.key for component in library().components} if service is not library() else set()
    found = [component for component in service.components if component.spec.key not in known]
    yield from sorted(found, key=lambda component: component.spec.label)
