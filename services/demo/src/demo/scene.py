"""The opening scene: each part of SynFinance once, told in one line each."""

from __future__ import annotations

import asyncio
import io
import time

import numpy as np
import polars as pl
import polars.selectors as cs

from demo.client import Client
from demo.screen import Screen
from synfinance.generator import Generator, GeneratorConfig

__all__ = ["opening", "soiled_csv"]

#: Longest time that the scene waits for the model to be trained.
PATIENCE = 90.0


async def opening(client: Client, screen: Screen) -> None:
    """Play it."""
    screen.heading("Opening scene")
    await _requests(client, screen)
    await _model(client, screen)
    await _fraud(client, screen)
    await _batches(client, screen)
    await _quality(client, screen)
    screen.note("")


async def _requests(client: Client, screen: Screen) -> None:
    begun = time.perf_counter()
    paths = ("/", "/health", "/fraud", "/demo/exchange-rate")
    answers = await asyncio.gather(*(client.ask("GET", paths[number % len(paths)]) for number in range(20)))
    well = sum(answer.is_success for answer in answers)
    failed = f", {20 - well} failed on purpose" if well < 20 else ""
    screen.step("20 requests", f"{well} answered well{failed}, in {time.perf_counter() - begun:.1f} s")


async def _model(client: Client, screen: Screen) -> None:
    begun = time.perf_counter()
    while time.perf_counter() - begun < PATIENCE:
        model = (await client.json("GET", "/health"))["model"]
        if model["state"] != "training":
            break
        await asyncio.sleep(0.5)
    if model["detects"] == "fraud":
        quality = model["quality_when_trained"]
        screen.step(
            "fraud model",
            f"trained in a process beside the service; on later transactions precision {quality['precision']:.0%}, "
            f"recall {quality['recall']:.0%}",
        )
    else:
        screen.trouble(f"The fraud model is not ready ({model.get('fault', model['state'])}); anomalies are detected.")


async def _fraud(client: Client, screen: Screen) -> None:
    answer = await client.json("POST", "/simulate", json={"rows": 1_000, "fraud": 30, "first": 0})
    fraud = answer["fraud"]
    kinds = sorted(fraud["by_type"].items(), key=lambda item: -item[1])
    listed = ", ".join(f"{name.replace('_', ' ')} {count}" for name, count in kinds[:3]) or "none"
    screen.step(
        "1,000 transactions, 30 fraudulent",
        f"{fraud['detected']} found, {fraud['missed']} missed, {fraud['false_alarms']} false alarms; mostly {listed}",
    )


async def _batches(client: Client, screen: Screen) -> None:
    for rows in (1_000, 5_000, 10_000):
        begun = time.perf_counter()
        answer = await client.json("POST", "/simulate", json={"rows": rows, "first": 0})
        screen.step(
            f"batch of {rows:,}",
            f"generated, scored and assessed in {time.perf_counter() - begun:.1f} s; "
            f"{answer['cache_hit_rate']:.0%} of the cards were at hand",
        )


async def _quality(client: Client, screen: Screen) -> None:
    table = await asyncio.to_thread(soiled_csv, 10_000, 3, missing=0.12)
    report = await client.json("POST", "/quality", content=table, headers={"content-type": "text/csv"})
    found = [(finding, column["name"]) for column in report["columns"] for finding in column["findings"]]
    worst, column = max(found, key=lambda item: item[0]["overall_points"])
    told = f"; most is lost in {column}: {worst['message']}"
    screen.step("quality of 10,000 records", f"{report['score']:.1f} of 100 ({report['band']}){told}")


def soiled_csv(rows: int, seed: int, *, missing: float = 0.02) -> bytes:
    """Return generated transactions as CSV with some of the faults that files in the world have.

    :param missing: the share of cities that are missing.
    """
    random = np.random.default_rng(seed)

    def spoilt(column: str, share: float, value: pl.Expr) -> pl.Expr:
        chosen = pl.Series(random.random(rows) < share)
        return pl.when(chosen).then(value).otherwise(pl.col(column)).alias(column)

    frame = Generator(GeneratorConfig(rows=rows, customers=300, seed=seed)).batch(rows)
    frame = frame.drop("is_fraud", "fraud_type", "severity").with_columns(cs.enum().cast(pl.String))
    buffer = io.BytesIO()
    frame.with_columns(
        spoilt("merchant_city", missing, pl.lit(None)),
        spoilt("amount_minor", 0.002, pl.col("amount_minor") * 1_000),
        spoilt("latitude", 0.03, pl.lit(999.0)),
        spoilt("currency", 0.01, pl.lit("???")),
    ).write_csv(buffer)
    return buffer.getvalue()
