"""Questions in PromQL, and who answers them: the samples of this host, or the Prometheus that knows the whole fleet."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, Protocol

from bedplate.clock import Clock, SystemClock
from bedplate.component import Vector
from bedplate.monitor.samples.evaluation import Evaluator
from bedplate.problems import BedplateError
from bedplate.promql import Matrix, scoped

if TYPE_CHECKING:
    from bedplate.monitor.samples.component import Samples

__all__ = ["Fleet", "Queries", "Remote", "Scope"]

Scope = Literal["host", "fleet"]

#: What Grafana puts in the place of a variable, as the text of a duration.
_VARIABLES = ("$__rate_interval", "${__rate_interval}", "$__interval", "${__interval}")


class Fleet(Protocol):
    """A Prometheus that scrapes all instances of the service."""

    @property
    def fault(self) -> str | None:
        """Why it could not be asked the last time; None when it could."""
        ...

    async def vector(self, expr: str, at: float) -> Vector:
        """Return the value of an expression at a time. :raises BedplateError: when it cannot be asked, or refuses."""
        ...

    async def range(self, expr: str, start: float, end: float, step: float) -> Matrix:
        """Return its values over time. :raises BedplateError: when it cannot be asked, or refuses."""
        ...


class Remote(Protocol):
    """The process of this host that takes the samples, for one that does not."""

    async def vector(self, expr: str, at: float | None) -> Vector:
        """Return the value of an expression at a time, now by default. :raises BedplateError: when it cannot say."""
        ...


class Queries:
    """Answers PromQL for this service: every selector is narrowed to it, whatever the expression says.

    ``host`` asks the samples that this host takes of the service. ``fleet`` asks Prometheus, which knows all instances;
    without Prometheus it is the same as ``host`` where the service has but one host, and refused otherwise.

    :param single_host: whether this host is all there is of the service.
    :ivar remote: who answers for the host when this process takes no samples; to be set before the start.
    :ivar clock: what *now* is; to be set before the start.
    """

    def __init__(
        self, service: str, samples: Samples, *, fleet: Fleet | None = None, single_host: bool = False
    ) -> None:
        self._service = service
        self._samples = samples
        self._evaluator = Evaluator(samples)
        self._fleet = fleet
        self._single_host = single_host
        self.remote: Remote | None = None
        self.clock: Clock = SystemClock()

    @property
    def fleet_fault(self) -> str | None:
        """Why the fleet cannot be asked at present, in a sentence; None when it can, as far as is known."""
        if self._fleet is not None:
            return self._fleet.fault
        return None if self._single_host else _NO_FLEET.what

    @property
    def fleet_available(self) -> bool:
        """Whether the fleet can be asked, as far as is known."""
        return self.fleet_fault is None

    async def query(self, expr: str, *, scope: Scope = "host") -> Vector:
        """Return the present value of an expression."""
        return await self.vector(expr, scope=scope)

    async def vector(self, expr: str, at: float | None = None, *, scope: Scope = "host") -> Vector:
        """Return the value of an expression at a time in Unix seconds, now by default.

        :raises BedplateError: when it is no PromQL that can be evaluated, takes too long or too much, or the fleet
            cannot be asked.
        """
        expr = self._narrowed(expr)
        if scope == "fleet" and (fleet := self._asked()) is not None:
            return await fleet.vector(expr, self.clock.time() if at is None else at)
        if self._samples.ring is None and self.remote is not None:
            return await self.remote.vector(expr, at)
        return await self._evaluator.vector(expr, self.clock.time() if at is None else at)

    async def range(self, expr: str, start: float, end: float, step: float, *, scope: Scope = "host") -> Matrix:
        """Return the values of an expression from ``start`` to ``end`` in Unix seconds, every ``step`` seconds.

        :raises BedplateError: as :meth:`vector`, and in a worker of several, which has no samples at hand.
        """
        expr = self._narrowed(expr)
        if scope == "fleet" and (fleet := self._asked()) is not None:
            return await fleet.range(expr, start, end, step)
        return await self._evaluator.range(expr, start, end, step)

    def _narrowed(self, expr: str) -> str:
        for variable in _VARIABLES:
            if variable in expr:
                expr = expr.replace(variable, f"{self.rate_interval}s")
        return scoped(expr, self._service)

    @property
    def rate_interval(self) -> int:
        """Seconds that ``$__rate_interval`` stands for: four intervals between samples, a minute at least."""
        return max(60, round(4 * self._samples.settings.interval))

    def _asked(self) -> Fleet | None:
        """Return whom to ask about the fleet; None when this host is the fleet.

        :raises BedplateError: when nobody knows.
        """
        if self._fleet is None and not self._single_host:
            raise BedplateError(_NO_FLEET.what, _NO_FLEET.mend)
        return self._fleet


_NO_FLEET = BedplateError(
    "Nobody here knows all instances of the service.",
    "Set PROMETHEUS_URL, or BEDPLATE_SAMPLES__SINGLE_HOST=true if the service has no other host.",
)
