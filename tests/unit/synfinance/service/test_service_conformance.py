"""SynFinance's components do what every component must."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from bedplate.component import Component
from bedplate.testing import CASES
from synfinance.components import (
    CardHistory,
    Compute,
    ComputeSettings,
    DataQuality,
    DetectionSettings,
    FraudDetection,
    Generation,
    GenerationSettings,
    System,
    Traffic,
)

#: A start that is cancelled at every turn makes its world every time, so that it should be small.
WORLD = GenerationSettings(customers=10, history_rows=100)


def compute() -> Compute:
    return Compute(ComputeSettings(threads=1, waiting=1_000))


def generation() -> Generation:
    return Generation(WORLD, compute=compute())


def detection() -> FraudDetection:
    shared = compute()
    return FraudDetection(
        DetectionSettings(training=False),
        compute=shared,
        generation=Generation(WORLD, compute=shared),
        cards=CardHistory(),
    )


MAKES: dict[str, Callable[[], Component]] = {
    "compute": compute,
    "generation": generation,
    "card_history": CardHistory,
    "fraud_detection": detection,
    "traffic": Traffic,
    "data_quality": lambda: DataQuality(compute=compute()),
    "system": System,
}


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.__name__)
@pytest.mark.parametrize("kind", MAKES)
async def test_every_component_conforms(case: Any, kind: str) -> None:
    await case(MAKES[kind])
