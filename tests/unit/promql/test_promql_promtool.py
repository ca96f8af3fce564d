"""Values judged by promtool: random expressions over random series, in both dialects.

The promtool at hand is Prometheus 2's. Its dialect is compared wherever the moments fall; that of Prometheus 3 where no
sample is on the edge of a range, and but for what it does otherwise on purpose, of which test_promql_evaluation.py has
vectors of its own. ``BEDPLATE_EXAMPLES=100000`` asks for more; what fails names its seed.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from random import Random
from typing import Literal

import pytest

from bedplate.promql import EvaluationError, PromqlSyntaxError, compiled
from bedplate.promql.notation import Samples, load
from tests.unit.promql.expressions import Maker
from tests.unit.promql.judge import Question, Value, Verdict, agree, judged

EXAMPLES = int(os.environ.get("BEDPLATE_EXAMPLES", "8000"))
BATCH = 250  # questions about one set of series, and for one promtool
BATCHES = max(1, EXAMPLES // BATCH)
#: Dialects take turns: three batches of 2, which promtool speaks, for one of 3.
PLAN: list[tuple[Literal[2, 3], int]] = [(3 if seed % 4 == 3 else 2, seed) for seed in range(BATCHES)]

#: What Prometheus 3 does otherwise: see its changes to rate, stddev, atan2 and matching.
_CHANGED = re.compile(r'rate|increase|stddev|stdvar|atan2|[<>=]=? (?!"|~)')


def ours(question: Question, source: Samples, dialect: Literal[2, 3]) -> Verdict:
    try:
        found = compiled(question.expr, dialect=dialect).value(source, question.at)
    except (EvaluationError, PromqlSyntaxError) as error:
        return Verdict({}, str(error))
    value = {tuple(sorted(sample.labels.items())): sample.value for sample in found}
    assert len(value) == len(found), f"{question.expr} gives equal labels twice"
    return Verdict(value)


def equal(one: Value, other: Value) -> bool:
    return one.keys() == other.keys() and all(agree(value, other[labels]) for labels, value in one.items())


def accepted(question: Question, mine: Verdict, theirs: Verdict) -> bool:
    if mine.error or theirs.error:
        return bool(mine.error) == bool(theirs.error)
    if equal(mine.value, theirs.value):
        return True
    # Which of equal values are the first k depends on Prometheus' order of series.
    ranked = re.search("topk|bottomk", question.expr) is not None and len(mine.value) == len(theirs.value)
    return ranked and all(map(agree, sorted(mine.value.values(), key=str), sorted(theirs.value.values(), key=str)))


@pytest.mark.parametrize(("dialect", "seed"), PLAN)
def test_values_are_those_of_prometheus(dialect: Literal[2, 3], seed: int, tmp_path: Path) -> None:
    maker = Maker(Random(seed), edges=dialect == 2)
    data = maker.data()
    questions = [Question(maker.expression(), maker.moment(data)) for _ in range(BATCH)]
    verdicts = judged(tmp_path, data.series, data.interval, questions)
    source = load(data.series, data.interval)
    told = changed = 0
    for question, theirs in zip(questions, verdicts, strict=True):
        mine = ours(question, source, dialect)
        told += bool(theirs.value)
        if accepted(question, mine, theirs):
            continue
        if dialect == 3 and _CHANGED.search(question.expr):
            changed += 1
            assert accepted(question, ours(question, source, 2), theirs), (seed, question)
            continue
        pytest.fail(f"seed {seed}, {question}: ours is {mine}, promtool's {theirs}")
    assert told > BATCH / 4  # an empty value proves little
    assert changed < BATCH / 20
