"""Labelled card transactions: seeded, vectorised, streamed.

>>> from synfinance.generator import Generator, GeneratorConfig
>>> generator = Generator(GeneratorConfig(customers=500, seed=7))
>>> batch = generator.batch(1_000, fraud=30)
>>> batch.height, batch["is_fraud"].sum()
(1000, 30)
"""

from __future__ import annotations

from synfinance.generator.catalog import FRAUD_TYPES, SEVERITIES
from synfinance.generator.config import GeneratorConfig
from synfinance.generator.generator import BLOCK_ROWS, Generator
from synfinance.generator.writer import write

__all__ = ["BLOCK_ROWS", "FRAUD_TYPES", "SEVERITIES", "Generator", "GeneratorConfig", "write"]
