"""Merging under what goes wrong: cancelled scrapes, full disks, half-made cells, forks, other versions."""

from __future__ import annotations

import asyncio
import errno
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from bedplate.metric import Counter, Gauge, Histogram, Metric
from bedplate.problems import BedplateError
from bedplate.telemetry.metrics import merge
from bedplate.telemetry.metrics.registry import Registry

PLAIN = Counter("app_plain_total", "Plain.")
MANY = Counter("app_many_total", "Many.", {"n": 20_000})
SIZE = Gauge("app_size_bytes", "Size.", {"cache": 5}, unit="bytes")


def fresh(directory: Path | None, *metrics: Metric) -> Registry:
    registry = Registry("app", directory)
    registry.declare(metrics or (PLAIN, MANY, SIZE))
    return registry


def fill(registry: Registry, count: int, first: int = 0) -> None:
    for number in range(first, first + count):
        registry.bind(MANY, n=str(number)).inc()


def read(text: bytes) -> dict[str, float]:
    lines = [line for line in text.decode().split("\n") if line and line[0] != "#"]
    return {line.rpartition(" ")[0]: float(line.rpartition(" ")[2]) for line in lines}


def values(registry: Registry) -> dict[str, float]:
    return read(asyncio.run(registry.render()))


async def cancelled_after(registry: Registry, turns: int) -> bool:
    """Scrape and give up after so many turns of the loop; return whether the scrape was done by then."""
    scrape = asyncio.create_task(registry.render())
    for _ in range(turns):
        await asyncio.sleep(0)
        if scrape.done():
            return True
    scrape.cancel()
    await asyncio.gather(scrape, return_exceptions=True)
    return False


@pytest.mark.parametrize("shared", [False, True])
async def test_a_scrape_that_is_given_up_loses_nothing_for_the_next(tmp_path: Path, shared: bool) -> None:
    directory = tmp_path if shared else None
    for turns in (1, 3, 6, 9, 12, 15):
        registry = fresh(directory)
        fill(registry, 1500)
        if shared:
            dead = fresh(directory)
            fill(dead, 1500)
            dead.close()
        await cancelled_after(registry, turns)
        shown = read(await registry.render())
        assert sum(name.startswith("app_many_total{") for name in shown) == 1500
        registry.close()


async def test_a_fold_that_is_cancelled_anywhere_counts_everything_once(tmp_path: Path) -> None:
    for number, amount in enumerate((1, 10, 100)):
        dead = fresh(tmp_path)
        fill(dead, 900, first=number * 100)
        dead.bind(PLAIN).inc(amount)
        dead.close()
    for turns in range(0, 60, 2):
        scraper = fresh(tmp_path)
        done = await cancelled_after(scraper, turns)
        assert read(await fresh(tmp_path).render())["app_plain_total"] == 111
        assert read(await scraper.render())["app_plain_total"] == 111
        if done:
            break


def test_a_worker_killed_before_it_used_its_words_harms_no_scrape(tmp_path: Path) -> None:
    worker = fresh(tmp_path)
    worker.bind(PLAIN).inc(3)
    # What a kill leaves between the line of the index and the first use of its words.
    with next(tmp_path.glob("*.index")).open("ab") as index:
        index.write(b'{"family":9,"name":"app_wait_seconds","type":"histogram","help":"Wait.","buckets":[1.0]}\n')
        index.write(b"[9,5000,[]]\n")
    worker.close()
    scraper = fresh(tmp_path)
    for _ in range(2):
        shown = values(scraper)
        assert (shown["app_plain_total"], shown["app_wait_seconds_count"]) == (3, 0)


def test_an_unreadable_line_costs_only_itself(tmp_path: Path) -> None:
    worker = fresh(tmp_path)
    worker.bind(PLAIN).inc(3)
    with next(tmp_path.glob("*.index")).open("ab") as index:
        index.write(b"[99,7,[]]\nno json\n[1,2]\n")
    worker.bind(SIZE, cache="a").set(7)
    shown = values(fresh(tmp_path))
    assert (shown["app_plain_total"], shown['app_size_bytes{cache="a"}']) == (3, 7)


def test_scrapers_that_take_turns_fold_every_dead_worker_once(tmp_path: Path) -> None:
    one, other = fresh(tmp_path), fresh(tmp_path)
    dead = [fresh(tmp_path) for _ in range(3)]
    for worker in dead:
        worker.bind(PLAIN).inc(5)
    assert values(one)["app_plain_total"] == values(other)["app_plain_total"] == 15
    # The other one does not look while two folds go by, so that no pointer names the first any more.
    for worker in dead[:2]:
        worker.close()
        assert values(one)["app_plain_total"] == 15
    assert values(other)["app_plain_total"] == 15
    dead[2].close()
    for scraper in (other, one, other, one):
        assert values(scraper)["app_plain_total"] == 15


def test_another_version_of_a_family_is_left_out_and_not_mixed_in(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    old = Histogram("app_wait_seconds", "Wait.", {"route": 3}, unit="seconds", buckets=(1.0, 2.0, 3.0))
    new = Histogram("app_wait_seconds", "Wait.", {"host": 3, "route": 3}, unit="seconds", buckets=(1.0,))
    before = fresh(tmp_path, old, PLAIN)
    before.bind(old, route="/").observe(0.5)
    before.bind(PLAIN).inc(2)
    now = fresh(tmp_path, new, PLAIN)
    for registry in (now, before):
        shown = values(registry)
        assert shown["app_plain_total"] == 2
    now.bind(new, host="a", route="/").observe(0.5)
    assert values(now)['app_wait_seconds_count{host="a",route="/"}'] == 1
    before.close()
    assert values(now)["app_plain_total"] == 2
    assert not any("route" in name and "host" not in name for name in values(now))
    assert "declared otherwise" in caplog.text


def test_a_full_disk_never_reaches_whoever_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    registry = fresh(tmp_path)
    fill(registry, 5)
    real = os.write
    state = {"room": 30}

    def write(descriptor: int, data: bytes) -> int:
        if state["room"] <= 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        part = data[: state["room"]]
        state["room"] -= len(part)
        return real(descriptor, part)

    def no_room(*_: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", write)
        patch.setattr(os, "posix_fallocate", no_room)
        fill(registry, 5, first=5)
    fill(registry, 5, first=10)
    shown = values(registry)
    assert sum(value for name, value in shown.items() if name.startswith("app_many_total")) == 15
    other = values(fresh(tmp_path))
    assert sum(value for name, value in other.items() if name.startswith("app_many_total")) >= 5
    assert not [path for path in tmp_path.glob("*.values") if not path.with_suffix(".index").exists()]


async def test_scrapes_at_once_while_series_appear_and_vanish_agree_with_themselves(tmp_path: Path) -> None:
    late = Counter("zoo_animals_total", "Laid out last.", {"n": 20_000})
    registry = fresh(tmp_path, PLAIN, MANY, SIZE, late)
    for number in range(1200):
        registry.bind(MANY, n=str(number)).inc(number)
    worker = fresh(tmp_path)
    worker.bind(SIZE, cache="a").set(1)
    scraping = True

    async def grow() -> None:
        number = 0
        while scraping:
            registry.bind(late, n=str(number)).inc(number)
            number += 1
            if number == 30:
                worker.close()
            await asyncio.sleep(0)

    async def scrape(openmetrics: bool) -> None:
        for _ in range(5):
            shown = read(await registry.render(openmetrics))
            numbered = [(name, value) for name, value in shown.items() if '{n="' in name]
            assert len(numbered) >= 1200
            assert all(float(name.split('"')[1]) == value for name, value in numbered)

    growing = asyncio.create_task(grow())
    await asyncio.gather(*(scrape(number % 2 == 0) for number in range(4)))
    scraping = False
    await growing


async def test_the_event_loop_turns_while_ten_thousand_new_series_are_scraped(tmp_path: Path) -> None:
    registry = fresh(tmp_path)
    fill(registry, 10_000)
    turns = 0
    scrape = asyncio.create_task(registry.render())
    while not scrape.done():
        turns += 1
        await asyncio.sleep(0)
    assert turns > 3 * 10_000 / merge.SLICE, "once a slice for reading, laying out and rendering"


def test_leftovers_of_an_interrupted_fold_are_removed(tmp_path: Path) -> None:
    for suffix in ("values", "index", "json"):
        (tmp_path / f"tombstone-0123456789ab.{suffix}").write_bytes(b"")
    assert values(fresh(tmp_path))["app_plain_total"] == 0
    assert not list(tmp_path.glob("tombstone-*"))


def test_a_stopped_scraper_is_waited_for_and_then_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(merge, "PATIENCE", 0.05)
    code = (
        "import fcntl,os,signal,sys;f=os.open(sys.argv[1],os.O_RDWR|os.O_CREAT);fcntl.flock(f,fcntl.LOCK_EX);"
        "print('held',flush=True);os.kill(os.getpid(),signal.SIGSTOP)"
    )
    stopped = subprocess.Popen([sys.executable, "-c", code, str(tmp_path / "fold.lock")], stdout=subprocess.PIPE)
    try:
        assert stopped.stdout is not None
        assert stopped.stdout.readline() == b"held\n"
        registry = fresh(tmp_path)
        with pytest.raises(BedplateError, match="scraping for too long"):
            values(registry)
    finally:
        stopped.kill()
        stopped.wait()
        assert stopped.stdout is not None
        stopped.stdout.close()
    assert values(registry)["app_plain_total"] == 0


_PARENT = """
import os, pathlib, sys, time
from bedplate.metric import Counter, Gauge
from bedplate.telemetry.metrics.registry import Registry
plain, size = Counter("app_plain_total", "Plain."), Gauge("app_size_bytes", "Size.", {"cache": 5}, unit="bytes")
registry = Registry("app", pathlib.Path(sys.argv[1]))
registry.declare([plain, size])
registry.bind(plain).inc(4)
registry.bind(size, cache="a").set(4)
child = os.fork()
if child == 0:
    time.sleep(60)
    os._exit(0)
print(child, flush=True)
time.sleep(60)
"""


def test_a_forked_child_does_not_keep_its_dead_parent_among_the_living(tmp_path: Path) -> None:
    parent = subprocess.Popen([sys.executable, "-c", _PARENT, str(tmp_path)], stdout=subprocess.PIPE)
    assert parent.stdout is not None
    child = int(parent.stdout.readline())
    try:
        scraper = fresh(tmp_path)
        assert values(scraper)['app_size_bytes{cache="a"}'] == 4
        parent.kill()
        parent.wait()
        # The child closes its descriptors right after the fork, which may be a moment from now.
        end = time.monotonic() + 10
        while 'app_size_bytes{cache="a"}' in (shown := values(scraper)) and time.monotonic() < end:
            time.sleep(0.01)
        assert 'app_size_bytes{cache="a"}' not in shown
        assert shown["app_plain_total"] == 4
    finally:
        os.kill(child, signal.SIGKILL)
        parent.stdout.close()
