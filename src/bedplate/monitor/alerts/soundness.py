"""Whether the alerts of a service can be trusted: what ``bedplate check`` refuses of them.

An alert that nobody knows how to answer, whose text cannot be filled in, that the engine cannot evaluate, or that has
not been seen to fire and to keep quiet, is no alert.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from bedplate.component import Spec
from bedplate.monitor.alerts.annotations import TemplateError, template
from bedplate.monitor.alerts.rules import Rule, rules
from bedplate.monitor.alerts.trial import trial_refusals
from bedplate.problems import BedplateError, Refusal

__all__ = ["duplicates", "unsound"]


def unsound(service: str, specs: Sequence[Spec]) -> Iterator[Refusal]:
    """Yield everything that is wrong with the alerts of a service; it takes milliseconds an alert.

    Expressions that are no PromQL at all are somebody else's complaint: they are refused at start.
    """
    yield from duplicates(specs)
    found: list[Rule] = []
    for spec in specs:
        try:
            found += rules(service, [spec])
        except BedplateError:
            continue
    sound = []
    for rule in found:
        faults = list(_faults(rule))
        yield from faults
        if not faults:
            sound.append(rule)
    yield from trial_refusals(sound)


def duplicates(specs: Iterable[Spec]) -> Iterator[Refusal]:
    """Yield the alerts whose name another kind of component has, too, or the same component twice.

    Components of one kind share names: their alerts are told apart by the label ``source``.
    """
    owners: dict[str, Spec] = {}
    for spec in specs:
        names = [alert.name for alert in spec.alerts]
        for name in dict.fromkeys(names):
            owner = owners.setdefault(name, spec)
            if owner.kind != spec.kind or names.count(name) > 1:
                what = f"alert {name} is declared by {owner.label} already."
                yield Refusal(spec.label, what, "Name it <Component><Symptom>.")


def _faults(rule: Rule) -> Iterator[Refusal]:
    alert, label = rule.alert, rule.source
    if not rule.section:
        what = f"alert {rule.name} has no section in the runbook."
        yield Refusal(label, what, f"Write what to do about it below `## {rule.name}`.")
    for word, series in (("fires", alert.fires), ("quiet", alert.quiet)):
        if not series:
            what = f"alert {rule.name} has no `{word}` series."
            yield Refusal(label, what, f"Give series that must {'not ' * (word == 'quiet')}make it fire.")
    try:
        template(alert.summary)
    except TemplateError as error:
        yield Refusal(label, f"alert {rule.name}: {error.what}", error.mend)
    try:
        _evaluable(alert.expr)
    except BedplateError as error:
        yield Refusal(label, f"alert {rule.name} cannot be evaluated here: {error.what}", error.mend)


def _evaluable(expr: str) -> None:
    """Compile an expression as it was written, so that a fault is told by its position there.

    :raises UnsupportedError: when the engine does not evaluate it.
    """
    from bedplate.promql import compiled

    compiled(expr)
