"""What the console measures of itself, and what of it a person must know."""

from __future__ import annotations

from bedplate.declarations import Alert, Check, Panel, Series
from bedplate.metric import Counter, Gauge, Histogram

__all__ = ["ALERTS", "CHECKS", "LIVE", "METRICS", "PANELS", "RENDER", "SESSIONS", "SIGN_INS", "VIEWS"]

VIEWS = Counter(
    "bedplate_console_views_total",
    "Pages of the console that somebody asked for, by what came of it.",
    {"page": 60, "outcome": ("shown", "refused", "missing", "failed")},
)
RENDER = Histogram(
    "bedplate_console_render_duration_seconds",
    "How long it took to make a page, from the request to the finished text.",
    {"page": 60},
    unit="seconds",
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0),
)
LIVE = Gauge("bedplate_console_live_viewers", "Open pages of the console that are kept up to date.")
SESSIONS = Gauge("bedplate_console_sessions", "People who are signed in to the console.")
SIGN_INS = Counter(
    "bedplate_console_sign_ins_total",
    "Attempts to sign in to the console, by way and by what came of it.",
    {"way": ("link", "token", "oidc"), "outcome": ("accepted", "refused", "throttled")},
)
METRICS = (VIEWS, RENDER, LIVE, SESSIONS, SIGN_INS)

_FAILED, _SLOW = VIEWS(page="home", outcome="failed"), RENDER(page="metrics")
_REFUSED = SIGN_INS(way="token", outcome="refused")

ALERTS = (
    Alert(
        name="ConsoleFailing",
        expr=f"sum by (page) (increase({VIEWS(outcome='failed')}[10m])) > 2",
        summary="The console page {{ $labels.page }} cannot be shown.",
        for_="0s",
        fires=(Series(str(_FAILED), "0+1x30"),),
        quiet=(Series(str(_FAILED), "0x10 1x20"),),
    ),
    Alert(
        name="ConsoleSlow",
        expr=f"histogram_quantile(0.95, sum by (le) (rate({RENDER.bucket}[10m]))) > 1",
        summary="Pages of the console take more than a second.",
        severity="info",
        for_="10m",
        fires=(
            Series(f'{RENDER.name}_bucket{{page="metrics",le="1.0"}}', "0x40"),
            Series(f'{RENDER.name}_bucket{{page="metrics",le="2.5"}}', "0+6x40"),
            Series(f'{RENDER.name}_bucket{{page="metrics",le="+Inf"}}', "0+6x40"),
        ),
        quiet=(
            Series(f'{RENDER.name}_bucket{{page="metrics",le="0.1"}}', "0+6x40"),
            Series(f'{RENDER.name}_bucket{{page="metrics",le="+Inf"}}', "0+6x40"),
        ),
    ),
    Alert(
        name="ConsoleSignInGuessing",
        expr=f"sum(increase({SIGN_INS(outcome='refused')}[10m])) + sum(increase({SIGN_INS(outcome='throttled')}[10m]))"
        " > 20",
        summary="Somebody keeps trying to sign in to the console with tokens or links that are not valid.",
        for_="0s",
        fires=(
            Series(str(_REFUSED), "0+5x30"),
            Series(str(SIGN_INS(way="token", outcome="throttled")), "0+5x30"),
        ),
        quiet=(
            Series(str(_REFUSED), "0 1 2 2x30"),
            Series(str(SIGN_INS(way="token", outcome="throttled")), "0x30"),
        ),
    ),
)

PANELS = (
    Panel(
        title="Pages of the console",
        expr=(("{{page}} {{outcome}}", f"sum by (page, outcome) (increase({VIEWS}[5m]))"),),
        row="Console",
        summary="What do people look at, and does it work?",
    ),
    Panel(
        title="Time to make a page, 95th percentile",
        expr=(("{{page}}", f"histogram_quantile(0.95, sum by (le, page) (rate({RENDER.bucket}[5m])))"),),
        unit="s",
        row="Console",
    ),
    Panel(
        title="People signed in",
        expr=(("signed in", f"sum({SESSIONS})"), ("live pages", f"sum({LIVE})")),
        row="Console",
    ),
    Panel(
        title="Attempts to sign in",
        expr=(("{{way}} {{outcome}}", f"sum by (way, outcome) (increase({SIGN_INS}[5m]))"),),
        row="Console",
    ),
)

CHECKS = (
    Check(
        name="console",
        path="/console",
        summary="The console shows its home page.",
        group="console",
        role="viewer",
        contains=("Bedplate",),
        suite="observability",
    ),
    Check(
        name="console-sign-in",
        path="/console/sign-in",
        summary="The console asks people to sign in.",
        group="console",
        suite="observability",
    ),
)
