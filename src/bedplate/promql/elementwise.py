"""What is done to every value by itself: arithmetic with scalars, comparisons with them, functions of numbers."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import numpy as np

from bedplate.promql.labels import Relabelled
from bedplate.promql.plan import Floats, Frame, Plan, Run, Scalars, Steps, Tables, combined, row_slices

__all__ = [
    "ARITHMETIC",
    "COMPARISON",
    "FUNCTIONS",
    "Applied",
    "Constant",
    "Negated",
    "OfScalar",
    "OfTime",
    "Scalar",
    "ScalarOperation",
    "VectorScalar",
]

#: Go's floats and numpy's are the same IEEE 754; ``math.Mod`` is C's ``fmod``. ``np.power`` by a scalar of 0.5 is a
#: square root, which differs from a power at -Inf and -0.
ARITHMETIC: dict[str, Callable[[Any, Any], Any]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": np.true_divide,
    "%": np.fmod,
    "^": np.float_power,
    "atan2": np.arctan2,
}
COMPARISON: dict[str, Callable[[Any, Any], Any]] = {
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}

Arguments = tuple[Floats, ...]


def _rounded(values: Floats, nearest: Any = 1.0) -> Floats:
    inverse = 1.0 / nearest
    return np.asarray(np.floor(values * inverse + 0.5) / inverse)


def _greater(one: Any, other: Any) -> Floats:
    # Go's math.Max: an infinity is greater than NaN.
    return np.where((one == np.inf) | (other == np.inf), np.inf, np.maximum(one, other))


def _lesser(one: Any, other: Any) -> Floats:
    return np.where((one == -np.inf) | (other == -np.inf), -np.inf, np.minimum(one, other))


#: Functions of one value and further scalars, by name.
FUNCTIONS: dict[str, Callable[..., Any]] = {
    "abs": np.abs,
    "ceil": np.ceil,
    "floor": np.floor,
    "exp": np.exp,
    "ln": np.log,
    "log2": np.log2,
    "log10": np.log10,
    "sqrt": np.sqrt,
    "sgn": np.sign,
    "round": _rounded,
    "clamp": lambda values, low, high: _greater(low, _lesser(high, values)),
    "clamp_min": lambda values, low: _greater(low, values),
    "clamp_max": lambda values, high: _lesser(high, values),
    "deg": lambda values: values * 180 / np.pi,
    "rad": lambda values: values * np.pi / 180,
    "acos": np.arccos,
    "acosh": np.arccosh,
    "asin": np.arcsin,
    "asinh": np.arcsinh,
    "atan": np.arctan,
    "atanh": np.arctanh,
    "cos": np.cos,
    "cosh": np.cosh,
    "sin": np.sin,
    "sinh": np.sinh,
    "tan": np.tan,
    "tanh": np.tanh,
}


class Constant(Plan[Scalars]):
    """A number."""

    def __init__(self, value: float) -> None:
        self.value = value

    def run(self, run: Run) -> Steps[Scalars]:
        """Repeat it for every moment."""
        yield from ()
        return np.full(len(run.times), self.value)


class OfTime(Plan[Scalars]):
    """``time()``: the moment itself, in seconds."""

    def run(self, run: Run) -> Steps[Scalars]:
        """Return the moments."""
        yield from ()
        return np.asarray(run.times / 1000)


class ScalarOperation(Plan[Scalars]):
    """A function of scalars that is a scalar."""

    def __init__(self, compute: Callable[..., Any], operands: tuple[Plan[Scalars], ...]) -> None:
        self._compute = compute
        self._operands = operands

    def run(self, run: Run) -> Steps[Scalars]:
        """Evaluate the operands, then compute."""
        values: list[Scalars] = []
        for operand in self._operands:
            values += ((yield from operand.run(run)),)
        return np.asarray(self._compute(*values), dtype=np.float64)


class Scalar(Plan[Scalars]):
    """``scalar(vector)``: the value of its only element, else NaN."""

    def __init__(self, operand: Tables) -> None:
        self._operand = operand

    def run(self, run: Run) -> Steps[Scalars]:
        """Count the elements at every moment."""
        frame = yield from self._operand.run(run)
        mask = frame.mask
        values = np.add.reduce(np.where(mask, frame.values, 0.0), axis=1)
        return np.where(np.add.reduce(mask, axis=1) == 1, values, np.nan)


class OfScalar(Tables):
    """``vector(scalar)``: an element without labels."""

    _labels = ((),)

    def __init__(self, operand: Plan[Scalars]) -> None:
        self._operand = operand

    def run(self, run: Run) -> Steps[Frame]:
        """Make the column."""
        values = yield from self._operand.run(run)
        return Frame(self._labels, values[:, None], None)


class Applied(Tables):
    """A function of every value, with scalars as further arguments; the metric's name is dropped."""

    def __init__(
        self, function: str, operand: Tables, scalars: tuple[Plan[Scalars], ...], relabelled: Relabelled
    ) -> None:
        self._function = function
        self._compute = FUNCTIONS[function]
        self._operand = operand
        self._scalars = scalars
        self._relabelled = relabelled

    def run(self, run: Run) -> Steps[Frame]:
        """Compute slice by slice."""
        frame = yield from self._operand.run(run)
        scalars: list[Floats] = []
        for scalar in self._scalars:
            scalars += ((yield from scalar.run(run))[:, None],)
        values = np.empty(frame.values.shape)
        for rows in row_slices(*frame.values.shape):
            values[rows] = self._compute(frame.values[rows], *(scalar[rows] for scalar in scalars))
            yield
        present = frame.present
        if self._function == "clamp" and (empty := scalars[1] < scalars[0]).any():
            present = frame.mask & ~empty
        return (yield from self._relabelled.over(Frame(frame.labels, values, present)))


class Negated(Tables):
    """``-vector``."""

    def __init__(self, operand: Tables, relabelled: Relabelled) -> None:
        self._operand = operand
        self._relabelled = relabelled

    def run(self, run: Run) -> Steps[Frame]:
        """Change the signs; the name goes, since it is another quantity."""
        frame = yield from self._operand.run(run)
        return (yield from self._relabelled.over(Frame(frame.labels, -frame.values, frame.present)))


class VectorScalar(Tables):
    """An operator between a vector and a scalar.

    :param swapped: the scalar is the left one. :param returns_bool: a comparison tells 0 or 1 and filters nothing.
    :param relabelled: drops the name; a filter keeps it and has none.
    """

    def __init__(
        self,
        operator: str,
        vector: Tables,
        scalar: Plan[Scalars],
        *,
        swapped: bool,
        returns_bool: bool,
        relabelled: Relabelled | None,
    ) -> None:
        self._filters = operator in COMPARISON and not returns_bool
        self._compute = COMPARISON.get(operator) or ARITHMETIC[operator]
        self._vector = vector
        self._scalar = scalar
        self._swapped = swapped
        self._relabelled = relabelled

    def run(self, run: Run) -> Steps[Frame]:
        """Compute slice by slice."""
        frame = yield from self._vector.run(run)
        scalar = (yield from self._scalar.run(run))[:, None]
        found = np.empty(frame.values.shape, dtype=bool if self._filters else np.float64)
        for rows in row_slices(*frame.values.shape):
            left, right = frame.values[rows], scalar[rows]
            found[rows] = self._compute(right, left) if self._swapped else self._compute(left, right)
            yield
        if self._filters:
            return Frame(frame.labels, frame.values, combined(frame.present, found))
        frame = Frame(frame.labels, found, frame.present)
        return frame if self._relabelled is None else (yield from self._relabelled.over(frame))
