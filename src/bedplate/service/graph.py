"""Which components a service has, in which order they start, and every reason why it may not start."""

from __future__ import annotations

import traceback
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from bedplate.component import Component, Environment, HasRefusals, Key, Spec
from bedplate.declarations import metric_names
from bedplate.metric import Metric, taken_names
from bedplate.monitor.alerts.soundness import duplicates
from bedplate.monitor.panels.soundness import clashes
from bedplate.problems import BedplateError, Refusal

__all__ = ["collect", "refusals", "spec_of", "start_order", "told_by"]


def spec_of(component: object) -> Spec:
    """Return what a component says it is.

    :raises BedplateError: when it is no component, or its spec cannot be read; it says what to do about it.
    """
    name = getattr(component, "__name__", type(component).__name__)
    if not isinstance(component, type) and not (_has(component, "spec") and _has(component, "lifespan")):
        raise BedplateError(
            f"{component!r} is not a component.", "Give it a `spec` property and a `lifespan(host)` method."
        )
    if isinstance(component, type):
        raise BedplateError(f"{name} is a class, not a component.", f"Construct it: {name}().")
    try:
        spec: object = component.spec  # type: ignore[attr-defined]
    except BedplateError:
        raise
    except Exception as error:
        raise BedplateError(f"The spec of {name} cannot be read: {told_by(error)}.", "Mend its `spec`.") from error
    if not isinstance(spec, Spec):
        mend = "Make it a property." if callable(spec) else "Return a Spec from it."
        raise BedplateError(f"The spec of {name} is a {type(spec).__name__}.", mend)
    return spec


def _has(component: object, name: str) -> bool:
    # Not hasattr(component), which takes a property that fails for one that is not there.
    return hasattr(type(component), name) or name in getattr(component, "__dict__", ())


def told_by(error: BaseException) -> str:
    """Return an exception in a few words, with the line that raised it."""
    where = ""
    if error.__traceback__ is not None:
        frame = traceback.extract_tb(error.__traceback__)[-1]
        where = f" ({Path(frame.filename).name}, line {frame.lineno})"
    return f"{type(error).__name__}: {error}{where}"


def collect(components: Iterable[Component]) -> list[Component]:
    """Return the components with all that they need, transitively, each once, in the order of first mention.

    :raises BedplateError: when something is not a component.
    """
    found: dict[int, Component] = {}
    pending = list(components)[::-1]
    while pending:
        component = pending.pop()
        if id(component) in found:
            continue
        found[id(component)] = component
        pending.extend(reversed(spec_of(component).needs))
    return list(found.values())


def start_order(components: Sequence[Component]) -> list[Component]:
    """Return the components sorted so that each comes after all that it needs; stable otherwise.

    :raises BedplateError: when needs form a circle; it names the circle.
    """
    order: list[Component] = []
    done: set[int] = set()
    path: list[Component] = []

    def visit(component: Component) -> None:
        if id(component) in done:
            return
        if any(component is open_ for open_ in path):
            circle = " → ".join(c.spec.label for c in [*path[path.index(component) :], component])
            raise BedplateError(f"Components need each other in a circle: {circle}.", "Remove one of the needs.")
        path.append(component)
        for need in component.spec.needs:
            visit(need)
        path.pop()
        done.add(id(component))
        order.append(component)

    for component in components:
        visit(component)
    return order


def refusals(
    components: Sequence[Component], environment: Environment, settings: Mapping[str, Any]
) -> Iterator[Refusal]:
    """Yield every reason why these components may not start together; pure, without I/O."""
    owners: dict[Key, Component] = {}
    families: dict[str, tuple[Metric, str]] = {}
    samples: dict[str, str] = {}
    specs = [component.spec for component in components]
    declared = metric_names([metric for spec in specs for metric in spec.metrics])
    yield from duplicates(specs)
    yield from clashes(specs)
    for component, spec in zip(components, specs, strict=True):
        if spec != component.spec:
            yield Refusal(
                spec.label,
                "its spec changes from one read to the next.",
                "Make it a function of the constructor's arguments.",
            )
        if spec.key in owners:
            yield Refusal(
                spec.label,
                f"there are two components of kind {spec.kind!r} named {spec.name!r}.",
                "Give one of them another name.",
            )
        owners[spec.key] = component
        for metric in spec.metrics:
            known, owner = families.setdefault(metric.name, (metric.family, spec.label))
            if known != metric.family:
                yield Refusal(
                    spec.label,
                    f"metric {metric.name} is declared differently by {owner}.",
                    "Share one declaration, or rename one of them.",
                )
            for sample in taken_names(metric):
                first = samples.setdefault(sample, metric.name)
                if first != metric.name:
                    yield Refusal(spec.label, f"metric {metric.name} exposes {sample}, as {first} does.", "Rename one.")
        yield from _expressions(spec, declared)
        if isinstance(component, HasRefusals):
            try:
                yield from component.refusals(environment, settings)
            except Exception as error:
                yield Refusal(spec.label, f"its refusals() failed: {told_by(error)}.", "Mend it.")


def _meant(name: str, known: Collection[str]) -> str:
    from difflib import get_close_matches

    near = get_close_matches(name, known, n=1, cutoff=0.85)
    return f"Is {near[0]} meant? " if near else ""


def _expressions(spec: Spec, known: Collection[str]) -> Iterator[Refusal]:
    from bedplate.promql.lexer import PromqlSyntaxError
    from bedplate.promql.selectors import metric_references

    named = [(f"alert {alert.name}", alert.expr) for alert in spec.alerts]
    named += [(f"panel {panel.title!r}", expr) for panel in spec.panels for expr in panel.exprs]
    named += [(f"SLO {slo.name}", expr) for slo in spec.slos for expr in (slo.good, slo.total)]
    for where, expr in named:
        try:
            references = metric_references(expr)
        except PromqlSyntaxError as error:
            yield Refusal(spec.label, f"{where} is not PromQL: {error.what}", error.mend)
            continue
        for name, position in references:
            if name not in known and name not in ("up", "ALERTS", "ALERTS_FOR_STATE"):
                yield Refusal(
                    spec.label,
                    f"{where} uses the metric {name} (at character {position + 1}), which no component declares.",
                    _meant(name, known) + "Declare it, or interpolate the metric object so that it cannot be misspelt.",
                )
