"""What is rendered in tests: a small shop with everything that can be declared, and SynFinance."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path

from bedplate.cli.render import subjects_of
from bedplate.component import Spec
from bedplate.declarations import Alert, AlertGroup, Dashboard, Panel, Runbook, Series, Threshold, Variable
from bedplate.metric import Counter, Gauge, Histogram
from bedplate.render import Container, Subject, render, write
from tools.finding import ROOT
from tools.rendering import FOLDER, deployed

__all__ = ["CACHE", "FILLED", "HITS", "LAG", "MISSES", "PAGE", "shop", "synfinance", "synfinance_files", "written"]

HITS = Counter("shop_cache_hits_total", "Reads that the cache answered.", {"cache": ("prices", "stock")})
MISSES = Counter("shop_cache_misses_total", "Reads that it did not.", {"cache": ("prices", "stock")})
FILLED = Gauge("shop_cache_filled_ratio", "How full it is.", unit="ratio", merge="max")
LAG = Histogram("shop_cache_lag_seconds", "How late it is.", unit="seconds")

PAGE = Dashboard(
    name="caches", title="Caches", variables=(Variable(label="cache", title="Cache"),), rows=("Is it well?", "Why?")
)
CACHE = Spec(
    kind="cache",
    summary="Remembers prices.",
    metrics=(HITS, MISSES, FILLED, LAG),
    alerts=(
        Alert(
            name="CacheMisses",
            expr=f"sum by (cache) (rate({MISSES}[5m])) > 0.5",
            summary="The cache {{ $labels.cache }} misses {{ $value | humanize }} times a second.",
            severity="critical",
            for_="2m",
            keep_firing_for="3m",
            group=AlertGroup(name="speed", interval="1m"),
            fires=(Series(str(MISSES(cache="prices")), "0+60x10"),),
            quiet=(Series(str(MISSES(cache="prices")), "0+6x10"),),
        ),
        Alert(
            name="CacheGone",
            expr=f"absent({FILLED})",
            summary="Nobody says how full the cache is.",
            for_="0s",
            fires=(Series("up", "1x5"),),
            quiet=(Series(str(FILLED), "0.5x5"),),
        ),
    ),
    panels=(
        Panel(
            title="Misses",
            expr=f"sum by (cache)  (rate({MISSES}[5m]))",
            unit="ops",
            summary="Why is it slow?",
            dashboard=PAGE,
            row="Why?",
        ),
        Panel(
            title="Filled",
            expr=str(FILLED),
            unit="percentunit",
            dashboard=PAGE,
            row="Is it well?",
            kind="gauge",
            thresholds=(Threshold(value=0.9),),
        ),
    ),
    runbook=Runbook(text="## CacheMisses\nLook at what was deployed.\n\n## CacheGone\nLook at the log."),
)


def shop(name: str = "shop", *specs: Spec) -> Subject:
    """Return a service of the cache, or of other components."""
    specs = specs or (CACHE,)
    container = Container(name=name, target=f"{name}:build", packages=(".",))
    return Subject(name=name, specs=specs, container=container, own=frozenset(spec.key for spec in specs))


@cache
def synfinance() -> Subject:
    """Return SynFinance as ``deploy/`` runs it."""
    found = (one for target, service in deployed().items() for one in subjects_of(service, target, FOLDER, ROOT))
    return next(one for one in found if one.name == "synfinance")


@cache
def synfinance_files() -> Mapping[str, str]:
    """Return SynFinance's files."""
    return render([synfinance()])


def written(files: Mapping[str, str], folder: Path) -> Path:
    """Write files; return their folder."""
    write(files, folder)
    return folder
