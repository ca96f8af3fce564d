"""Templates: escaped by default, strict about names, and with the words that all of them use."""

from __future__ import annotations

from functools import cached_property, lru_cache, partial
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined, pass_context
from jinja2.runtime import Context
from markupsafe import Markup

from bedplate.console import words
from bedplate.console.assets import Assets
from bedplate.console.charts.drawing import spark
from bedplate.console.charts.picture import drawn
from bedplate.console.icons import icon
from bedplate.console.markdown import markdown
from bedplate.console.page import NAVIGATION
from bedplate.console.visit import address

__all__ = ["TONES", "Templates"]

#: The colour and shape of every word that says how something is.
TONES = {
    "healthy": "good", "running": "good", "up": "good", "ok": "good", "resolved": "good", "done": "good",
    "degraded": "warn", "warning": "warn", "pending": "warn", "restarting": "warn", "starting": "warn",
    "stopping": "warn", "timeout": "bad", "muted": "idle", "refused": "warn", "denied": "warn", "invalid": "warn",
    "unhealthy": "bad", "failed": "bad", "down": "bad", "hung": "bad", "critical": "bad", "firing": "bad",
    "error": "bad", "unfinished": "bad", "open": "bad", "slow": "warn", "sampled": "info",
    "info": "info", "waiting": "idle", "stopped": "idle", "inactive": "idle", "finished": "idle", "silenced": "idle",
}  # fmt: skip

_LEVELS = {"DEBUG": "idle", "INFO": "info", "WARNING": "warn", "ERROR": "bad", "CRITICAL": "bad"}
#: What a line of the log shows elsewhere, or only when it is opened.
_PLAIN = frozenset(
    "timestamp level logger message request_id trace_id span_id service file line function exception stack".split()
)


class Templates:
    """The templates of a folder; compiled when they are first used."""

    def __init__(self, folder: Path, assets: Assets) -> None:
        self._folder = folder
        self._assets = assets

    @cached_property
    def environment(self) -> Environment:
        """The environment of all templates."""
        return _environment(self._folder, self._assets.folder)

    def render(self, name: str, context: dict[str, Any]) -> str:
        """Return a page."""
        return self.environment.get_template(name).render(context)


@lru_cache
def _environment(folder: Path, static: Path) -> Environment:
    # Once a process: compiling takes longer than all the rest of a start, and the templates are those of a package.
    env = Environment(
        loader=FileSystemLoader(folder),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    env.globals |= {
        "icon": icon,
        "asset": Assets(static).path,
        "when": _when,
        "stamp": _stamp,
        "tone": _tone,
        "clock_of": _clock_of,
        "level_tone": lambda level: _LEVELS.get(level, "idle"),
        "context_of": _context_of,
        "drawn": partial(drawn, tones=TONES),
        "asked": lambda **query: address("", "", query)[1:],
        "plainly": _plainly,
        "chart_query": _left_side,
        "spark": spark,
        "page_paths": {entry.name: entry.path for entry in NAVIGATION if entry.role == "viewer"},
        "component_path": lambda label: str(label).replace(":", "/") if ":" in str(label) else f"{label}/default",
    }
    env.filters |= {
        "duration": words.duration,
        "number": words.number,
        "count": words.count,
        "quantity": words.quantity,
        "plural": words.plural,
        "markdown": markdown,
        "spell": words.spell,
    }
    return env


@pass_context
def _when(context: Context, moment: float | None, prefix: str = "") -> Markup:
    """Return a moment in relative words, exact on hover; scripts keep it true and add local time."""
    if moment is None:
        return Markup("–")
    said = words.ago(moment, context["now"])
    return Markup('<time datetime="{}" title="{}" data-relative data-prefix="{}">{}{}</time>').format(
        words.iso(moment), words.exact(moment), prefix, prefix, said
    )


@pass_context
def _stamp(context: Context, moment: float | None, form: str = "second") -> Markup:
    """Return a moment as a time of day in UTC; the day is said when it is another one than today."""
    if moment is None:
        return Markup("–")
    text = words.iso(moment)
    time = text[11:23] if form == "milli" else text[11:19]
    day = "" if text[:10] == words.iso(context["now"])[:10] else f"{text[5:10]} "
    return Markup('<time datetime="{}" title="{}">{}{}</time>').format(text, words.exact(moment), day, time)


def _clock_of(timestamp: str) -> Markup:
    """Return the time of day of a log record."""
    exact = f"{timestamp[:10]} {timestamp[11:23]} UTC"
    return Markup('<time datetime="{}" title="{}">{}</time>').format(timestamp, exact, timestamp[11:23])


def _context_of(record: dict[str, Any]) -> str:
    """Return what a log record says beside its message, in one line."""
    return " ".join(
        f"{name}={value}"
        for name, value in record.items()
        if name not in _PLAIN and value is not None and not isinstance(value, dict | list)
    )


def _left_side(comparison: str) -> str:
    """Return what a comparison with a number compares."""
    from bedplate.monitor.panels import bounds
    from bedplate.problems import BedplateError

    try:
        found = bounds(comparison)
    except BedplateError:
        return comparison
    return found[0].expr if found else comparison


def _plainly(state: Any) -> str:
    """Return plain data in one line."""
    if isinstance(state, dict):
        return ", ".join(f"{name} {value}" for name, value in state.items() if value not in ("", None)) or "nothing"
    return "nothing" if state is None else str(state)


def _tone(word: str) -> str:
    return TONES.get(word.lower(), "idle")
