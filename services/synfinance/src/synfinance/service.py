"""SynFinance as a service: ``bedplate run synfinance.service:build``."""

from __future__ import annotations

from bedplate.component import Component
from bedplate.service import Service
from bedplate.state.limits import RateLimit
from synfinance.api import Limits, create_app
from synfinance.components import CardHistory, Compute, DataQuality, FraudDetection, Generation, System
from synfinance.settings import SynFinanceSettings

__all__ = ["build"]


def build(settings: SynFinanceSettings) -> Service:
    """Return the service; nothing runs yet."""
    compute = Compute(settings.compute)
    generation = Generation(settings.generation, compute=compute)
    cards = CardHistory(settings.cards)
    detection = FraudDetection(settings.detection, compute=compute, generation=generation, cards=cards)
    quality = DataQuality(settings.quality, compute=compute)
    limits = Limits(simulated=settings.max_simulated, rows=settings.max_rows, body_bytes=settings.max_body_bytes)
    app = create_app(
        compute=compute, generation=generation, detection=detection, quality=quality, cards=cards, limits=limits
    )
    components: list[Component] = [generation, detection, quality, System(settings.system)]
    if settings.rate_limit:
        components.append(RateLimit(limits=settings.rate_limit))
    return Service("synfinance", app, components, settings=settings)
