"""The functions of PromQL by name: what they take, what they return, and which of them this engine evaluates."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

__all__ = ["AGGREGATION_PARAMETERS", "FUNCTIONS", "Function", "Type"]

Type = Literal["scalar", "vector", "matrix", "string"]


@dataclass(frozen=True, slots=True)
class Function:
    """The signature of a function.

    :ivar arguments: the last type also stands for all further arguments.
    :ivar most: the greatest number of arguments; None for any.
    """

    arguments: tuple[Type, ...]
    least: int
    most: int | None
    returns: Type


_LETTERS: dict[str, Type] = {"s": "scalar", "v": "vector", "m": "matrix", "t": "string"}

#: Arguments by letter, then optional ones after a ``?`` and ``*`` for any further, and the names.
_SIGNATURES = """
m   rate increase irate delta idelta deriv changes resets avg_over_time min_over_time max_over_time sum_over_time
m   count_over_time last_over_time first_over_time present_over_time absent_over_time stddev_over_time stdvar_over_time
m   mad_over_time ts_of_first_over_time ts_of_last_over_time ts_of_max_over_time ts_of_min_over_time
sm  quantile_over_time
ms  predict_linear
mss holt_winters double_exponential_smoothing
v   abs ceil floor exp ln log2 log10 sqrt sgn sort sort_desc timestamp absent acos acosh asin asinh atan atanh cos cosh
v   sin sinh tan tanh deg rad histogram_avg histogram_count histogram_sum histogram_stddev histogram_stdvar
v   start_timestamp
vss clamp
vs  clamp_min clamp_max
v?s round
sv  histogram_quantile
ssv histogram_fraction
?v  day_of_month day_of_week day_of_year days_in_month hour minute month year
v?v info
vtttt label_replace
vtt?t* label_join
v?t* sort_by_label sort_by_label_desc
"""


def _parsed() -> dict[str, Function]:
    found: dict[str, Function] = {}
    for line in _SIGNATURES.strip().splitlines():
        signature, *names = line.split()
        required, _, optional = signature.partition("?")
        arguments = tuple(_LETTERS[letter] for letter in (required + optional).rstrip("*"))
        most = None if optional.endswith("*") else len(arguments)
        found |= dict.fromkeys(names, Function(arguments, len(required), most, "vector"))
    found["scalar"] = Function(("vector",), 1, 1, "scalar")
    found["vector"] = Function(("scalar",), 1, 1, "vector")
    found |= dict.fromkeys(("time", "pi"), Function((), 0, 0, "scalar"))
    return found


#: Every function that Prometheus 2 or 3 knows.
FUNCTIONS: dict[str, Function] = _parsed()

#: The type of an aggregation's first of two arguments.
AGGREGATION_PARAMETERS: dict[str, Type] = {
    **dict.fromkeys(("topk", "bottomk", "quantile", "limitk", "limit_ratio"), "scalar"),
    "count_values": "string",
}
