"""Trying a rule on series: when it fires, with which labels and value.

An alert carries series that must make it fire and series that must not. ``bedplate check`` tries each on them, the
rule tests that are rendered for promtool expect what is found here, so that both evaluators are held to the same.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from bedplate.component import Sample
from bedplate.declarations import Series, seconds
from bedplate.monitor.alerts.annotations import template
from bedplate.monitor.alerts.rules import Rule
from bedplate.monitor.alerts.state import Active, Labels, advanced
from bedplate.problems import BedplateError, Refusal

if TYPE_CHECKING:
    from bedplate.promql.source import Source

__all__ = ["STEP", "Firing", "Moment", "Trial", "trial", "trial_refusals"]

#: Seconds between two samples of a series, as in promtool's ``interval: 1m``.
STEP = 60.0

#: What every scrape adds, whether the series of a trial show it or not.
_SCRAPED = frozenset(("job", "instance"))

#: Evaluations that are computed together.
_AT_ONCE = 10_000


@dataclass(frozen=True, slots=True)
class Firing:
    """An alert that fires at one moment: its labels, ``alertname`` among them, its value, its summary filled in."""

    labels: Mapping[str, str]
    value: float
    summary: str


@dataclass(frozen=True, slots=True)
class Moment:
    """One evaluation of a trial.

    :ivar at: seconds from the first sample. :ivar firing: the alerts that fire, sorted by their labels.
    :ivar pending: how many wait for their ``for`` to pass.
    """

    at: float
    firing: tuple[Firing, ...]
    pending: int = 0


@dataclass(frozen=True, slots=True)
class Trial:
    """What became of a rule over some series.

    :ivar moments: its evaluations in order, one an interval of its group.
    """

    rule: Rule
    moments: tuple[Moment, ...]

    @property
    def fires(self) -> bool:
        """Whether it fired at all."""
        return self.first is not None

    @property
    def first(self) -> Moment | None:
        """The first moment at which it fires."""
        return next((moment for moment in self.moments if moment.firing), None)

    @property
    def last(self) -> Moment | None:
        """The last moment at which it fires."""
        return next((moment for moment in reversed(self.moments) if moment.firing), None)

    def at(self, moment: float) -> tuple[Firing, ...]:
        """Return what fires at the latest evaluation that is not after ``moment`` seconds from the first sample."""
        return next((known.firing for known in reversed(self.moments) if known.at <= moment), ())


def trial(rule: Rule, series: Sequence[Series], *, interval: float | None = None, dialect: Literal[2, 3] = 3) -> Trial:
    """Evaluate a rule over series with a sample a minute, from the first sample to the last.

    The series are taken to be the service's own: those without ``job`` get its label, as a scrape would add it.

    :param interval: seconds between two evaluations; by default that of the rule's group.
    :param dialect: the Prometheus that it must equal, 3, or 2 where promtool 2 judges.
    :raises PromqlSyntaxError: when the expression cannot be evaluated. :raises DuplicateLabelsError: when two series
        of its value become one alert.
    """
    from bedplate.promql.notation import load

    step = interval or seconds(rule.group.interval)
    source = load([Series(_with_job(one.series, rule.service), one.values) for one in series], interval=STEP)
    end = float(source.times[-1]) / 1000 if len(source.times) else 0.0
    return Trial(rule, tuple(_moments(rule, _evaluations(rule.expr, source, end, step, dialect))))


def trial_refusals(rules: Iterable[Rule]) -> Iterator[Refusal]:
    """Yield every alert that does not fire on the series that must make it fire, or fires on those that must not."""
    for rule in rules:
        for word, series, wanted in (("fires", rule.alert.fires, True), ("quiet", rule.alert.quiet, False)):
            if not series:
                continue  # somebody else's complaint
            try:
                result = trial(rule, series)
            except BedplateError as error:
                yield Refusal(rule.source, f"alert {rule.name} fails on its `{word}` series: {error.what}", error.mend)
                continue
            first = result.first
            if wanted and first is None:
                most = max((moment.pending for moment in result.moments), default=0)
                why = f"it is pending, but not for {rule.alert.for_}" if most else "its condition never holds"
                what = f"alert {rule.name} does not fire on its `fires` series: {why}."
                yield Refusal(rule.source, what, "Mend the expression, or give series that last long enough.")
            elif wanted and first is not None:
                yield from _unlabelled(rule, first)
            elif not wanted and first is not None:
                labels = ", ".join(f'{label}="{value}"' for label, value in sorted(first.firing[0].labels.items()))
                what = f"alert {rule.name} fires on its `quiet` series after {first.at:g} s with {labels}."
                yield Refusal(rule.source, what, "Mend the expression, or the series.")


def _unlabelled(rule: Rule, first: Moment) -> Iterator[Refusal]:
    """Yield the labels that the summary names and nothing that fires has: people would read an empty place."""
    had = {label for firing in first.firing for label in firing.labels}
    for label in sorted(template(rule.alert.summary).labels - had - _SCRAPED):
        what = f"alert {rule.name} names $labels.{label} in its summary, which what fires on its `fires` series lacks."
        known = ", ".join(sorted(had - {"alertname"}))
        yield Refusal(rule.source, what, f"It has {known}. Keep the label in the expression, or name one of these.")


def _evaluations(
    expr: str, source: Source, end: float, step: float, dialect: Literal[2, 3]
) -> Iterator[tuple[float, list[Sample]]]:
    """Yield the samples of every evaluation; they are computed many at once."""
    from bedplate.promql import compiled

    query = compiled(expr, dialect=dialect)
    count = int(end // step) + 1
    for first in range(0, count, _AT_ONCE):
        last = min(first + _AT_ONCE, count) - 1
        found: dict[int, list[Sample]] = {}
        for series in query.range(source, first * step, last * step, step):
            for at, value in zip(series.times.tolist(), series.values.tolist(), strict=True):
                found.setdefault(round(at / step), []).append(Sample(series.labels, value))
        for index in range(first, last + 1):
            yield index * step, found.get(index, [])


def _moments(rule: Rule, evaluations: Iterable[tuple[float, list[Sample]]]) -> Iterator[Moment]:
    active: Mapping[Labels, Active] = {}
    hold, keep = seconds(rule.alert.for_), seconds(rule.alert.keep_firing_for)
    fill = template(rule.alert.summary).render
    for at, samples in evaluations:
        if samples or active:
            step = advanced(active, samples, at, name=rule.name, rule=rule.labels, hold=hold, keep=keep, summary=fill)
            active = step.active
        firing = sorted((one for one in active.values() if one.state == "firing"), key=lambda one: one.labels)
        pending = sum(one.state == "pending" for one in active.values())
        yield Moment(at, tuple(Firing(dict(one.labels), one.value, one.summary) for one in firing), pending)


def _with_job(selector: str, job: str) -> str:
    from bedplate.promql.selectors import scoped

    return scoped(selector, job)
