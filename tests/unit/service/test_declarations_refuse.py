"""What can be seen to be wrong of a declaration is refused where it is made, and says which declaration it is."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from bedplate import SLO, Alert, AlertGroup, Check, Dashboard, Panel
from bedplate.problems import DeclarationError

ALERT: dict[str, Any] = {"name": "QueueDeep", "expr": "queue > 9", "summary": "Many wait."}
UNKNOWN: Any = "other"


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (
            lambda: Alert(**ALERT, severity=UNKNOWN),
            "Alert QueueDeep has the severity 'other'. It is one of critical, warn",
        ),
        (lambda: Alert(**ALERT, for_="1 minute"), "Alert QueueDeep, for_: '1 minute' is not a duration. Write it as"),
        (lambda: Alert(**ALERT, keep_firing_for=""), "Alert QueueDeep, keep_firing_for: '' is not a duration."),
        (lambda: AlertGroup(name="slow", interval="often"), "Alert group slow, interval: 'often' is not a duration."),
        (lambda: SLO(name="done", objective=0.9, good="a", total="b", window="1 month"), "SLO done, window: '1 month'"),
        (lambda: Dashboard(name="sales", title="Sales", refresh="10"), "Dashboard sales, refresh: '10' is not a"),
        (
            lambda: Panel(title="Sales", expr="a", kind=UNKNOWN),
            "Panel 'Sales' is of the kind 'other'. It is one of line,",
        ),
        (
            lambda: Check(name="list", path="/", suite=UNKNOWN),
            "Check list is of the suite 'other'. It is one of smoke,",
        ),
    ],
)
def test_a_declaration_that_cannot_be_right_is_refused_by_name(make: Callable[[], object], says: str) -> None:
    with pytest.raises(DeclarationError) as raised:
        make()
    assert str(raised.value).startswith(says)
