"""What tells of all services of a process: how each is, in sentences, and what changed lately."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from starlette.responses import Response

from bedplate.console.interfaces import Change, Sources
from bedplate.console.page import Page
from bedplate.console.pages import home, search
from bedplate.console.site import Site
from bedplate.console.visit import Visit
from bedplate.console.words import spell

__all__ = ["add_parts", "pages"]

_LATELY = 14
_VERDICTS = {"bad": "not well", "warn": "degraded", "good": "well"}


def pages(sources: Sources) -> Sequence[Page]:
    """Return the pages."""
    return (Page("/", "home-of-all", _show), Page("/search", "search", _search))


def add_parts(site: Site) -> None:
    """Tell the site of all what can be kept up to date: each service by itself, as not everybody may see each."""

    async def service(base: str, name: str) -> Mapping[str, Any] | None:
        found = next((one for one in _services(site) if one.sources.service == name), None)
        return None if found is None else {"html": await _told(site, found, base)}

    async def lately(base: str, names: str) -> Mapping[str, Any]:
        found = await _changes(site, names.split(","), base)
        return {"html": site.part(base, "together_changes.html", {"changes": found})}

    async def verdict(base: str, names: str) -> Mapping[str, Any]:
        return {"html": _verdict(one for one in _services(site) if one.sources.service in names.split(","))}

    async def badges(base: str, rest: str) -> Mapping[str, Any]:
        return {"data": {}}

    site.parts.makers |= {"badges": badges, "service": service, "lately": lately, "verdict": verdict}
    site.parts.admits = _admits


async def _show(visit: Visit) -> Response:
    """Say of each service what is well, what is not, since when, what it means, and what to do."""
    site = visit.site
    granted = site.granted(visit)
    found = [one for one in _services(site) if one.sources.service in granted]
    names = [one.sources.service for one in found]
    return visit.show(
        "together.html",
        told=[(one.sources.service, await _told(site, one, visit.base)) for one in found],
        verdict=_verdict(found),
        names=",".join(names),
        changes=await _changes(site, names, visit.base),
    )


async def _search(visit: Visit) -> Response:
    """List what matches in any service."""
    text = visit.query("q", limit=200)
    hits = search.ways(visit, text)
    granted = visit.site.granted(visit)
    for site in _services(visit.site):
        session = granted.get(site.sources.service)
        if session is not None and text:
            there = visit.within(site, session)
            hits += [hit.of(site.sources.service) for hit in await search.found(there, text)]
    return search.answer(visit, hits, text)


def _services(site: Site) -> list[Site]:
    return [one for one in site.siblings if not one.is_of_all]


def _admits(visit: Visit, topic: str) -> bool:
    """Tell whether whoever looks may see a part."""
    kind, _, names = topic.partition(":")
    if kind == "badges":
        return True
    return kind in ("service", "lately", "verdict") and set(names.split(",")) <= set(visit.site.granted(visit))


def _verdict(sites: Iterable[Site]) -> str:
    """Return how all are in one sentence, what is not well first."""
    by_tone: dict[str, list[str]] = {}
    for site in sites:
        by_tone.setdefault(site.tone(), []).append(site.sources.service)
    if list(by_tone) == ["good"]:
        [names] = by_tone.values()
        return f"{'All' if len(names) > 2 else 'Both'} services are well." if len(names) > 1 else f"{names[0]} is well."
    parts = [
        f"{spell(by_tone[tone])} {'is' if len(by_tone[tone]) == 1 else 'are'} {word}"
        for tone, word in _VERDICTS.items()
        if tone in by_tone
    ]
    return "; ".join(parts) + "."


async def _told(site: Site, of: Site, base: str) -> str:
    """Return what the home page of a service says, for the page that tells of all."""
    there = f"{base.removesuffix(site.mount)}{of.mount}"
    context = {"level": 2, "home": there, **await home.standing(of.sources)}
    return of.part(there, "home_standing.html", context)


async def _changes(site: Site, names: Sequence[str], base: str) -> list[tuple[str, str, Change]]:
    """Return the latest changes of some services, each with its service and where its links begin."""
    root = base.removesuffix(site.mount)
    found = [
        (one.sources.service, f"{root}{one.mount}", change)
        for one in _services(site)
        if one.sources.service in names
        for change in await one.timeline.changes(_LATELY)
    ]
    return sorted(found, key=lambda one: one[2].at, reverse=True)[:_LATELY]
