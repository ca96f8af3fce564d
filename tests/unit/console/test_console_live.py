"""Pages that stay up to date: made once for all, resumed after a gap, ended with the service."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from typing import Any

import pytest

from bedplate.console.live import Feed
from tests.unit.console.site import a_site, sign_in


class Kitchen:
    """Makes parts, and counts how often."""

    def __init__(self) -> None:
        self.content = {"soup": 1, "fish": 1}
        self.made: list[str] = []
        self.ending = False

    async def make(self, key: tuple[str, str]) -> Mapping[str, Any] | None:
        self.made.append(key[1])
        value = self.content.get(key[1])
        return None if value is None else {"html": str(value)}


def feed_of(kitchen: Kitchen, limit: int = 10) -> Feed:
    return Feed(kitchen.make, limit=limit, ending=lambda: kitchen.ending)


async def read(events: Any) -> list[dict[str, Any]]:
    """Return the parts of the next piece of a stream."""
    text = (await asyncio.wait_for(anext(events), 60)).decode()
    return [json.loads(line.removeprefix("data: ")) for line in text.splitlines() if line.startswith("data: ")]


async def test_a_part_is_made_once_however_many_look() -> None:
    kitchen = Kitchen()
    feed = feed_of(kitchen, limit=50)
    contexts = [feed.watching([("", "soup")]) for _ in range(50)]
    watchers = [context.__enter__() for context in contexts]
    assert feed.is_full
    streams = [feed.events(watcher) for watcher in watchers]
    for stream in streams:
        assert await anext(stream) == b"retry: 2000\n\n"
    await feed.refresh()
    assert kitchen.made == ["soup"]
    assert [await read(stream) for stream in streams] == [[{"topic": "soup", "html": "1"}]] * 50
    for context in contexts:
        context.__exit__(None, None, None)
    await feed.refresh()
    assert kitchen.made == ["soup"], "nothing is made for nobody"


async def test_only_what_changed_is_sent() -> None:
    kitchen = Kitchen()
    feed = feed_of(kitchen)
    with feed.watching([("", "soup"), ("", "fish")]) as watcher:
        stream = feed.events(watcher)
        await anext(stream)
        await feed.refresh()
        assert {part["topic"] for part in await read(stream)} == {"soup", "fish"}
        await feed.refresh()
        kitchen.content["fish"] = 2
        await feed.refresh()
        assert await read(stream) == [{"topic": "fish", "html": "2"}]


async def test_a_tab_that_comes_back_gets_what_it_missed_and_after_a_restart_all() -> None:
    kitchen = Kitchen()
    feed = feed_of(kitchen)
    with feed.watching([("", "soup"), ("", "fish")]):
        await feed.refresh()
        seen = f"{feed.epoch}-2"
        kitchen.content["soup"] = 2
        await feed.refresh()
        with feed.watching([("", "soup"), ("", "fish")], feed.place(seen)) as again:
            stream = feed.events(again)
            await anext(stream)
            assert await read(stream) == [{"topic": "soup", "html": "2"}]
    assert feed.place("another-2") == 0 and feed.place("") == 0 and feed.place(f"{feed.epoch}-x") == 0


async def test_nobody_who_looks_holds_up_the_end() -> None:
    kitchen = Kitchen()
    feed = feed_of(kitchen)
    with feed.watching([("", "soup")]) as watcher:
        stream = feed.events(watcher)
        await anext(stream)
        waiting = asyncio.ensure_future(anext(stream))
        await asyncio.sleep(0)
        kitchen.ending = True
        feed.wake()
        with pytest.raises(StopAsyncIteration):
            await asyncio.wait_for(waiting, 60)


async def test_the_stream_of_a_page_is_for_those_who_are_signed_in() -> None:
    async with a_site() as site:
        answer = await site.client.get("/console/live?topic=home", headers={"accept": "text/event-stream"})
        assert answer.status_code == 401
        await sign_in(site)
        assert (await site.client.get("/console/live?topic=nonsense")).status_code == 400
        assert (await site.client.get("/console/live")).status_code == 400


async def test_the_stream_brings_the_home_page_and_ends_with_the_session() -> None:
    async with a_site() as site:
        await sign_in(site)
        console = site.service.builtins.console.site
        request = asyncio.ensure_future(site.client.get("/console/live?topic=home&topic=changes"))
        await site.eventually(lambda: console.feed.watchers == 1)
        await console.feed.refresh()
        assert await site.value("bedplate_console_live_viewers") == 1
        console.access.sessions.clear()
        console.feed.wake()
        kitchen_news = console.timeline
        kitchen_news.note("settings", "Something changed")
        await console.feed.refresh()
        answer = await asyncio.wait_for(request, 60)
        assert answer.headers["content-type"].startswith("text/event-stream")
        assert answer.headers["cache-control"] == "no-store"
        assert "shop is well." in answer.text
        await site.eventually(lambda: console.feed.watchers == 0)


async def test_too_many_viewers_are_told_so() -> None:
    async with a_site(console={"viewers": 0}) as site:
        await sign_in(site)
        assert "event: full" in (await site.client.get("/console/live?topic=home")).text


async def test_charts_of_expressions_are_kept_up_to_date_and_faults_are_left_to_the_page() -> None:
    async with a_site() as site:
        console = site.service.builtins.console.site
        await site.clock.advance(31)
        asked = "values:q=bedplate_console_sessions&range=5m&limit=3&severity=critical"
        made = await console.parts.make(("/console", asked))
        assert made is not None
        chart = made["data"]
        assert chart["thresholds"] == [{"value": 3.0, "severity": "critical", "label": "fires"}]
        assert [line["name"] for line in chart["lines"]] == ["bedplate_console_sessions"]
        broken = await console.parts.make(("/console", "values:q=broken(&range=nonsense"))
        assert broken is not None and broken["data"]["lines"] == []
        assert await console.parts.make(("/console", "values:range=5m")) is None


async def test_a_panel_that_is_no_lines_is_drawn_by_the_server_again() -> None:
    async with a_site() as site:
        await sign_in(site)
        console = site.service.builtins.console.site
        status = next(ref for ref in console.charting.all() if ref.panel.kind == "state")
        page = (await site.client.get(f"/console/panels/{status.id}?range=5m")).text
        topic = f"chart:{status.id}:5m:tall"
        assert f'data-topic="{topic}"' in page
        made = await console.parts.make(("/console", topic))
        assert made is not None and set(made) == {"html"}
