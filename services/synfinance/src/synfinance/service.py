"""SynFinance as a service: ``bedplate run synfinance.service:build``."""

from __future__ import annotations

from collections.abc import Sequence

from bedplate.component import Component
from bedplate.service import Service
from bedplate.service.settings import ServiceSettings
from bedplate.state.limits import RateLimit
from synfinance.api import Limits, create_app
from synfinance.components import (
    CardHistory,
    CardHistorySettings,
    Compute,
    ComputeSettings,
    DataQuality,
    DetectionSettings,
    FraudDetection,
    Generation,
    GenerationSettings,
    QualitySettings,
    System,
    Traffic,
)
from synfinance.settings import SynFinanceSettings

__all__ = ["build"]


def build(settings: SynFinanceSettings, extra: Sequence[Component] = ()) -> Service:
    """Return the service; nothing runs yet.

    :param extra: further components that run with it.
    """
    window = settings.window
    compute = Compute(ComputeSettings(threads=settings.threads, waiting=settings.waiting))
    generation = Generation(
        GenerationSettings(
            seed=settings.seed,
            customers=settings.customers,
            fraud_rate=settings.fraud_rate,
            history_rows=settings.history_rows,
            window=window,
        ),
        compute=compute,
    )
    cards = CardHistory(
        CardHistorySettings(cards=settings.cached_cards, rows_per_card=settings.rows_per_card, window=window)
    )
    detection = FraudDetection(
        DetectionSettings(model=settings.model, training=settings.training, window=window),
        compute=compute,
        generation=generation,
        cards=cards,
    )
    quality = DataQuality(QualitySettings(window=window), compute=compute)
    limits = Limits(simulated=settings.max_simulated, rows=settings.max_rows, body_bytes=settings.max_body_bytes)
    app = create_app(
        compute=compute, generation=generation, detection=detection, quality=quality, cards=cards, limits=limits
    )
    operators = settings.section(ServiceSettings, "service").management_prefix
    components: list[Component] = [Traffic(operators), generation, detection, quality, System(), *extra]
    if settings.rate_limit:
        components.append(RateLimit(limits=settings.rate_limit))
    return Service("synfinance", app, components, settings=settings)
