"""promtool as the judge of values: what a real Prometheus says that expressions come to."""

from __future__ import annotations

import json
import math
import re
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bedplate.declarations import Series

Value = dict[tuple[tuple[str, str], ...], float]

_CASE = re.compile(
    r'^    expr: (?P<expr>"(?:[^"\\]|\\.)*"), time: (?P<time>\w+),'
    r"(?: err: (?P<error>[^\n]*)|\n        exp: [^\n]*\n        got: (?P<got>[^\n]*))$",
    re.MULTILINE,
)
_SAMPLE = re.compile(r"(?P<labels>\{[^}]*\}) (?P<value>[-+\w.]+)(?:, |$)")
_LABEL = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')


@dataclass(frozen=True, slots=True)
class Question:
    """An expression at a moment, in whole seconds after the first sample."""

    expr: str
    at: int


@dataclass(frozen=True, slots=True)
class Verdict:
    """What promtool says: a value, or why there is none."""

    value: Value
    error: str = ""


def judged(directory: Path, series: Sequence[Series], interval: int, questions: Sequence[Question]) -> list[Verdict]:
    """Let promtool evaluate; it tells its values because every expected one is wrong on purpose."""
    wrong = [{"labels": "wrong_on_purpose", "value": 1}]
    # promtool loads samples up to the last whole minute at which something is asked.
    asked = [*questions, Question("1", max(question.at for question in questions) // 60 * 60 + 7200)]
    document = {
        "rule_files": [],
        "evaluation_interval": "1m",
        "tests": [
            {
                "interval": f"{interval}s",
                "input_series": [{"series": one.series, "values": one.values} for one in series],
                "promql_expr_test": [
                    {"expr": question.expr, "eval_time": f"{question.at}s", "exp_samples": wrong} for question in asked
                ],
            }
        ],
    }
    path = directory / "questions.yml"
    path.write_text(json.dumps(document))  # YAML is a superset of it
    done = subprocess.run(["promtool", "test", "rules", str(path)], capture_output=True, text=True, check=False)
    found = list(_CASE.finditer(done.stderr + done.stdout))
    assert [json.loads(case["expr"]) for case in found] == [question.expr for question in asked], done.stderr[:5000]
    return [Verdict({}, case["error"]) if case["error"] else Verdict(_value(case["got"])) for case in found[:-1]]


def _value(text: str) -> Value:
    if text == "nil":
        return {}
    found: Value = {}
    position = 0
    while position < len(text):
        sample = _SAMPLE.match(text, position)
        assert sample is not None, text
        labels = tuple(sorted((label, json.loads(f'"{value}"')) for label, value in _LABEL.findall(sample["labels"])))
        assert labels not in found, text
        found[labels] = float(sample["value"])
        position = sample.end()
    return found


def agree(one: float, other: float, tolerance: float = 1e-9) -> bool:
    """Say whether two values are the same: NaN is NaN, and infinities are themselves.

    What rounding leaves of an exact 0 depends on the order of sums; it is below any tolerance of 0.
    """
    if math.isnan(one) or math.isnan(other):
        return math.isnan(one) and math.isnan(other)
    return one == other or math.isclose(one, other, rel_tol=tolerance, abs_tol=1e-12)
