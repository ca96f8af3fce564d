"""What happens to Redis and to the network before it, on purpose and at random."""

from __future__ import annotations

import asyncio
import itertools
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from random import Random

from tests.proxy import Proxy
from tests.redis import Server

__all__ = ["EVILS", "harm"]

EVILS = ("hang", "cut within a reply", "fragment", "delay", "part", "cut")


@asynccontextmanager
async def harm(target: Server, network: Proxy, thrown: Random) -> AsyncIterator[Counter[str]]:
    """Do something bad every few hundredths of a second while inside; yields how often what. All is well after it."""
    done: Counter[str] = Counter()
    task = asyncio.create_task(_harm(target, network, thrown, done))
    try:
        yield done
    finally:
        task.cancel()
        await asyncio.wait([task])
        target.resume()
        network.heal()


async def _harm(target: Server, network: Proxy, thrown: Random, done: Counter[str]) -> None:
    evils = list(EVILS)
    for number in itertools.count():
        await asyncio.sleep(thrown.uniform(0.01, 0.05))
        if number % len(evils) == 0:
            thrown.shuffle(evils)
        what = evils[number % len(evils)]
        done[what] += 1
        match what:
            case "hang":
                target.pause()
                await asyncio.sleep(thrown.uniform(0.001, 0.06))
                target.resume()
            case "cut within a reply":
                network.cut_after(thrown.randrange(1, 3000))
            case "fragment":
                network.fragment = thrown.choice((7, 200, 5000))
                await asyncio.sleep(thrown.uniform(0.001, 0.02))
            case "delay":
                network.delay = thrown.choice((0.001, 0.02))
                await asyncio.sleep(thrown.uniform(0.001, 0.05))
            case "part":
                network.partition()
                await asyncio.sleep(thrown.uniform(0.001, 0.06))
            case "cut":
                network.cut()
        if what != "cut within a reply":
            network.heal()
