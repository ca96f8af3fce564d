"""Summaries with the labels and the value of an alert filled in, in the part of Prometheus' templates that we keep.

Prometheus fills in summaries with Go's templates. What stands here means the same there: ``{{ $labels.name }}``,
``{{ $value }}``, and the functions ``humanize``, ``humanize1024``, ``humanizeDuration``, ``humanizePercentage`` and
``printf`` with one verb, before their argument or after a ``|``. Anything else is refused by name when a service is
checked, so that no summary reads well in one place and badly in the other.

Source: Prometheus, ``template/template.go`` and ``common/helpers/templates``; Go's ``fmt`` for how numbers look.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from functools import lru_cache

from bedplate.problems import BedplateError

__all__ = ["FUNCTIONS", "Template", "TemplateError", "number", "template"]

_TAG = re.compile(r"\{\{(.*?)\}\}", re.DOTALL)
_TOKEN = re.compile(r'\s*(?:(\|)|("(?:[^"\\]|\\.)*")|(\$labels\.[A-Za-z_]\w*|\$value)(?![\w.])|([A-Za-z_]\w*)|(\S+))')
_LABEL = re.compile(r"\$labels\.(\w+)")
_VERB = re.compile(r"%(%|(?P<width>[-+ 0]*\d*)(?:\.(?P<precision>\d+))?(?P<verb>[a-zA-Z]))")
_LARGE = ("k", "M", "G", "T", "P", "E", "Z", "Y")
_SMALL = ("m", "u", "n", "p", "f", "a", "z", "y")

Value = str | float


class TemplateError(BedplateError):
    """A summary that Prometheus or we cannot fill in."""


@dataclass(frozen=True, slots=True)
class Template:
    """A summary, read once: texts, and what fills the gaps."""

    text: str
    parts: tuple[str | Callable[[Mapping[str, str], float], str], ...]

    @property
    def labels(self) -> frozenset[str]:
        """The labels that it names."""
        return frozenset(name for tag in _TAG.finditer(self.text) for name in _LABEL.findall(tag[1]))

    def render(self, labels: Mapping[str, str], value: float) -> str:
        """Return the text for one alert; a label that it lacks is empty, as in Prometheus."""
        return "".join(part if isinstance(part, str) else part(labels, value) for part in self.parts)


@lru_cache(maxsize=2048)
def template(text: str) -> Template:
    """Read a summary.

    :raises TemplateError: when it holds what is not kept of Prometheus' templates.
    """
    parts: list[str | Callable[[Mapping[str, str], float], str]] = []
    position = 0
    for tag in _TAG.finditer(text):
        parts += (text[position : tag.start()], _filling(tag[1]))
        position = tag.end()
    rest = text[position:]
    if "{{" in rest:
        raise TemplateError(
            f"The summary opens {{{{ and does not close it: {rest.strip()[:60]!r}.", "Close it with }}."
        )
    parts.append(rest)
    return Template(text, tuple(part for part in parts if part != ""))


def number(value: float, precision: int | None = None) -> str:
    """Return a number as Go's ``%v`` does, or with ``precision`` significant digits as its ``%.4g``."""
    if not math.isfinite(value):
        return "NaN" if math.isnan(value) else "+Inf" if value > 0 else "-Inf"
    if precision is not None:
        return f"{value:.{precision}g}"
    if value == 0:
        return "-0" if math.copysign(1, value) < 0 else "0"
    shortest = Decimal(repr(value)).normalize()
    _, digits, _ = shortest.as_tuple()
    exponent = shortest.adjusted()
    if exponent < -4 or exponent >= 6:
        return f"{value:.{len(digits) - 1}e}"
    return f"{shortest:f}"


def _humanize(value: float) -> str:
    if value == 0 or not math.isfinite(value):
        return number(value, 4)
    return "".join(_scaled(value, 1000, _LARGE)) if abs(value) >= 1 else "".join(_small(value))


def _humanize1024(value: float) -> str:
    if abs(value) <= 1 or not math.isfinite(value):
        return number(value, 4)
    return "".join(_scaled(value, 1024, tuple(f"{prefix}i" for prefix in ("k", *_LARGE[1:]))))


def _scaled(value: float, base: int, prefixes: tuple[str, ...]) -> tuple[str, str]:
    prefix = ""
    for larger in prefixes:
        if abs(value) < base:
            break
        prefix, value = larger, value / base
    return number(value, 4), prefix


def _small(value: float) -> tuple[str, str]:
    prefix = ""
    for smaller in _SMALL:
        if abs(value) >= 1:
            break
        prefix, value = smaller, value * 1000
    return number(value, 4), prefix


def _duration(value: float) -> str:
    if not math.isfinite(value):
        return number(value, 4)
    if value == 0:
        return f"{number(value, 4)}s"
    if abs(value) < 1:
        return "".join((*_small(value), "s"))
    sign, value = ("-", -value) if value < 0 else ("", value)
    minutes, seconds = divmod(int(value), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    if days:
        return f"{sign}{days}d {hours}h {minutes}m {seconds}s"
    if hours:
        return f"{sign}{hours}h {minutes}m {seconds}s"
    if minutes:
        return f"{sign}{minutes}m {seconds}s"
    return f"{sign}{number(value, 4)}s"


def _percentage(value: float) -> str:
    return f"{number(value * 100, 4)}%"


#: What may stand in a summary beside ``printf``.
FUNCTIONS: Mapping[str, Callable[[float], str]] = {
    "humanize": _humanize,
    "humanize1024": _humanize1024,
    "humanizeDuration": _duration,
    "humanizePercentage": _percentage,
}


def _filling(text: str) -> Callable[[Mapping[str, str], float], str]:
    """Return what fills one gap: a pipeline of an operand and functions."""
    stages: list[list[str]] = [[]]
    for match in _TOKEN.finditer(text):
        pipe, string, variable, word, other = match.groups()
        if pipe:
            stages.append([])
        elif other:
            mend = "Use $labels.name, $value and the functions humanize…, printf."
            raise TemplateError(f"The summary uses {other!r} in {{{{{text}}}}}.", mend)
        else:
            stages[-1].append(string or variable or word)
    operand: str | None = None
    functions: list[Callable[[Value], str]] = []
    for index, stage in enumerate(stages):
        arguments = [token for token in stage if token.startswith("$")]
        if (index == 0) != (len(arguments) == 1) or (arguments and stage[-1] != arguments[0]):
            raise TemplateError(f"{{{{{text}}}}} in the summary cannot be read.", "Write {{ $value | humanize }}.")
        if arguments:
            operand = arguments[0]
        words = stage[:-1] if arguments else stage
        if words:
            functions.append(_function(words, text))
        elif not arguments:
            raise TemplateError(f"{{{{{text}}}}} in the summary cannot be read.", "A function is missing after |.")
    assert operand is not None
    label = "" if operand == "$value" else operand.removeprefix("$labels.")

    def fill(labels: Mapping[str, str], value: float) -> str:
        result: Value = labels.get(label, "") if label else value
        for function in functions:
            result = function(result)
        return result if isinstance(result, str) else number(result)

    return fill


def _function(words: list[str], text: str) -> Callable[[Value], str]:
    name, *arguments = words
    if name == "printf" and len(arguments) == 1 and arguments[0].startswith('"'):
        return _printf(arguments[0][1:-1].replace(r"\"", '"').replace(r"\\", "\\"), text)
    if name in FUNCTIONS and not arguments:
        convert = FUNCTIONS[name]
        return lambda value: convert(_as_number(value))
    known = ", ".join((*FUNCTIONS, "printf"))
    raise TemplateError(
        f"The summary uses {' '.join(words)} in {{{{{text}}}}}.", f"Only {known} are known, of one value."
    )


def _as_number(value: Value) -> float:
    try:
        return float(value)
    except ValueError:
        return math.nan


def _printf(form: str, text: str) -> Callable[[Value], str]:
    verbs = [match for match in _VERB.finditer(form) if match["verb"]]
    if len(verbs) != 1 or verbs[0]["verb"] not in "feEgGvs" or form.count("%") != 2 * form.count("%%") + 1:
        raise TemplateError(
            f"The summary's printf {form!r} in {{{{{text}}}}} is not kept.",
            "Use one verb: %.2f, %.3g, %e for the value, %s or %v.",
        )
    verb = verbs[0]
    before, after = (part.replace("%%", "%") for part in (form[: verb.start()], form[verb.end() :]))
    return lambda value: f"{before}{_formatted(value, verb)}{after}"


def _formatted(value: Value, verb: re.Match[str]) -> str:
    width, kind = verb["width"], verb["verb"]
    if isinstance(value, str):
        if kind not in "sv":
            return f"%!{kind}(string={value})"
        text = value if verb["precision"] is None else value[: int(verb["precision"])]
        return f"%{width}s" % text
    if kind == "s":
        return f"%!s(float64={number(value)})"
    if not math.isfinite(value):
        return f"%{width.replace('0', '', 1) if width.startswith('0') else width}s" % number(value)
    if verb["precision"] is None and kind in "gGv":
        return f"%{width}s" % number(value)
    return f"%{width}.{verb['precision'] or 6}{'g' if kind == 'v' else kind}" % value
