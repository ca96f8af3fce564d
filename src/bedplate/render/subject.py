"""What is rendered: services as far as files need to know them, and the choices of whoever renders."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from bedplate.component import Key, Spec
from bedplate.declarations import AlertGroup, Dashboard
from bedplate.metric import Metric
from bedplate.monitor.alerts import Rule, rules

__all__ = ["Container", "Subject"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Container:
    """A process with one service or several, which Compose runs in one container.

    :param name: its name, which is its host name in Compose's network. :param target: what ``bedplate run`` is given.
    :param packages: the folders to install in its image, relative to ``context``; empty for an image made elsewhere.
    :param context: the folder that holds them, seen from the folder of the rendered files. :param folder: the other
        way round, where the rendered files are.
    """

    name: str
    target: str
    packages: tuple[str, ...] = ()
    context: str = ".."
    folder: str = "deploy"


@dataclass(frozen=True, kw_only=True)
class Subject:
    """A service that is rendered.

    :param name: its name, its ``job`` in Prometheus. :param specs: those of its components, in the order of the start.
    :param own: the keys of the components that are the service's own, and not what every service has.
    :param root: where it is mounted in a process of several services: ``/synfinance``, or nothing.
    :param prefix: of its management API.
    """

    name: str
    specs: tuple[Spec, ...]
    container: Container
    own: frozenset[Key] = frozenset()
    root: str = ""
    prefix: str = "/monitoring"

    @property
    def title(self) -> str:
        """Its name for people."""
        words = self.name.replace("-", " ").replace("_", " ")
        return words[:1].upper() + words[1:]

    @cached_property
    def rules(self) -> tuple[Rule, ...]:
        """Its alerts, narrowed to it, those of its objectives included; pages say where its management API is."""
        prefix = f"{self.root}{self.prefix}"
        return tuple(
            replace(rule, section=rule.section.replace("<prefix>", prefix)) for rule in rules(self.name, self.specs)
        )

    @cached_property
    def groups(self) -> Mapping[AlertGroup, Sequence[Rule]]:
        """Its alerts by group, in the order of first mention."""
        found: dict[AlertGroup, list[Rule]] = {}
        for rule in self.rules:
            found.setdefault(rule.group, []).append(rule)
        return found

    @cached_property
    def metrics(self) -> Mapping[str, Metric]:
        """Its metric families, by every sample name that they expose."""
        return {name: metric for spec in self.specs for metric in spec.metrics for name in metric.sample_names}

    @cached_property
    def dashboards(self) -> tuple[Dashboard, ...]:
        """The dashboards that panels name, each once."""
        return tuple(dict.fromkeys(dashboard for spec in self.specs for dashboard in spec.dashboards))
