"""The books: what is posted, and whether all of it balances."""

from __future__ import annotations

from functools import partial
from typing import Final

from bedplate.declarations import Alert, Check, Panel, Series
from bedplate.metric import Counter, Gauge, Histogram
from ledger.components.signals.boards import BOOKS, GROUP, quantiles, runbook_of, share

__all__ = [
    "ACCOUNTS_OPENED", "ALERTS", "CHECKED", "CHECKED_AT", "CHECKS", "DIFFERENCE", "DURATION", "KINDS", "METRICS",
    "ORGANIZATIONS", "PANELS", "POSTED", "REFUSED", "RUNBOOK", "SOURCES", "WRONG",
]  # fmt: skip

KINDS: Final = ("revenue", "expense", "journal", "reversal")
SOURCES: Final = ("single", "batch", "import")

POSTED = Counter(
    "ledger_transactions_posted_total", "Entries that were posted, by kind and by how they came.",
    {"kind": KINDS, "source": SOURCES},
)  # fmt: skip
REFUSED = Counter(
    "ledger_postings_refused_total",
    "Entries that were not posted: known from before, with the reference of another, or on an account not there.",
    {"reason": ("known", "taken", "account", "unbalanced")},
)
DURATION = Histogram(
    "ledger_posting_duration_seconds", "Time from the request to post to the commit.", {"source": SOURCES},
    unit="seconds",
)  # fmt: skip
ACCOUNTS_OPENED = Counter("ledger_accounts_opened_total", "Accounts that organisations opened.")
ORGANIZATIONS = Gauge("ledger_organizations", "Organisations whose books are here.", merge="last")
DIFFERENCE = Gauge(
    "ledger_trial_balance_difference",
    "Minor units by which books are wrong, as far as they were checked: lines that do not balance, or totals that are "
    "not their sum. It is 0.",
    merge="max",
)
WRONG = Gauge("ledger_organizations_wrong", "Organisations whose books were found to be wrong.", merge="max")
CHECKED = Counter("ledger_organizations_checked_total", "Organisations whose books were checked, each time anew.")
CHECKED_AT = Gauge(
    "ledger_books_checked_timestamp_seconds", "Unix time of the latest check of books.", unit="timestamp_seconds",
    merge="max",
)  # fmt: skip
METRICS: Final = (
    POSTED, REFUSED, DURATION, ACCOUNTS_OPENED, ORGANIZATIONS, DIFFERENCE, WRONG, CHECKED, CHECKED_AT,
)  # fmt: skip

RUNBOOK: Final = runbook_of(__file__)

_UNBALANCED: Final = REFUSED(reason="unbalanced")
_TAKEN: Final = REFUSED(reason="taken")
_IN: Final = str(POSTED)


def _posted(values: str) -> Series:
    return Series(str(POSTED(kind="revenue", source="single")), values)


ALERTS: Final = (
    Alert(
        name="BooksOutOfBalance",
        expr=f"max({DIFFERENCE}) > 0",
        summary="Books are wrong by {{ $value | humanize }} minor units: a trial balance is not zero.",
        severity="critical",
        for_="0s",
        group=GROUP,
        fires=(Series(str(DIFFERENCE), "0 100x10"),),
        quiet=(Series(str(DIFFERENCE), "0x20"),),
    ),
    Alert(
        name="BooksUnchecked",
        expr=f"time() - max({CHECKED_AT}) > 900",
        summary="No books have been checked for {{ $value | humanizeDuration }}: an error would not be seen.",
        for_="5m",
        group=GROUP,
        fires=(Series(str(CHECKED_AT), "0x40"),),
        quiet=(Series(str(CHECKED_AT), "0+60x40"),),
    ),
    Alert(
        name="BooksUnbalancedEntries",
        expr=f"sum(increase({_UNBALANCED}[15m])) > 0",
        summary='{{ $value | printf "%.0f" }} entries that do not balance came to the database, which refused them.',
        for_="0s",
        group=GROUP,
        fires=(Series(str(_UNBALANCED), "0+1x30"),),
        quiet=(Series(str(_UNBALANCED), "0x30"),),
    ),
    Alert(
        name="BooksReferencesTaken",
        expr=f"{share(str(_TAKEN), _IN)} > 0.1 and sum(increase({_TAKEN}[15m])) > 20",
        summary="{{ $value | humanizePercentage }} of what is posted has the reference of another entry: a client "
        "counts anew.",
        for_="10m",
        group=GROUP,
        fires=(Series(str(_TAKEN), "0+20x60"), _posted("0+50x60")),
        quiet=(Series(str(_TAKEN), "0+1x60"), _posted("0+50x60")),
    ),
)

#: What clients rely on; checks change nothing, so that posting is rehearsed by the service: see ``rehearsal``.
CHECKS: Final = (
    Check(
        name="describes-itself", path="/", summary="It says what is here.", group="api",
        fields=("service", "version", "links.revenue", "links.reports"),
    ),
    Check(name="health", path="/health", summary="It says how it is.", group="api", within=0.25, fields=("status",)),
    Check(
        name="openapi", path="/openapi.json", group="api",
        summary="Its description has the endpoints that clients call.",
        contains=('"/api/v1/revenue"', '"/api/v1/expenses"', '"/api/v1/batch"', '"/api/v1/reports/monthly"'),
    ),
    Check(
        name="balances-closed", path="/api/v1/balances", summary="Nobody sees books without a token.", group="closed",
        expect=401,
    ),
    Check(
        name="export-closed", path="/api/v1/exports/revenue.csv", summary="Nor takes them along.", group="closed",
        expect=401,
    ),
)  # fmt: skip

_right = partial(Panel, dashboard=BOOKS, row="Are the books right?")
_in = partial(Panel, dashboard=BOOKS, row="What comes in?")

PANELS: Final = (
    _right(
        title="Trial balance difference", expr=f"max({DIFFERENCE})", kind="stat",
        summary="By how many minor units are books wrong, of those that were checked? 0, always.",
    ),
    _right(
        title="Organisations with wrong books", expr=f"max({WRONG})", kind="stat",
        summary="Whose accountant must be told?",
    ),
    _right(
        title="Books checked", expr=(("organisations", f"sum(rate({CHECKED}[5m]))"),), unit="ops", low=0,
        summary="How many organisations' books are checked a second?",
    ),
    _right(
        title="Age of the latest check", expr=(("seconds", f"time() - max({CHECKED_AT})"),), unit="s", low=0,
        summary="Does somebody look?",
    ),
    _in(title="Organisations", expr=f"max({ORGANIZATIONS})", kind="stat", summary="How many organisations are here?"),
    _in(
        title="Transactions posted", expr=(("{{kind}}", f"sum by (kind) (rate({POSTED}[5m]))"),), unit="ops",
        stacked=True, summary="What is posted, by kind?",
    ),
    _in(
        title="How they come", expr=(("{{source}}", f"sum by (source) (rate({POSTED}[5m]))"),), unit="ops",
        stacked=True, summary="One by one, in batches, or from files?",
    ),
    _in(
        title="Postings refused", expr=(("{{reason}}", f"sum by (reason) (increase({REFUSED}[5m]))"),), kind="bar",
        stacked=True, summary="What was known already, or could not be posted, and why?",
    ),
    _in(
        title="Accounts opened", expr=(("accounts", f"sum(increase({ACCOUNTS_OPENED}[1h]))"),), low=0,
        summary="How many accounts did organisations open in an hour?",
    ),
    Panel(
        title="Duration of posting", expr=quantiles(DURATION, 0.5, 0.95, 0.99), unit="s", low=0,
        summary="How long does a client wait until it is posted for good?", dashboard=BOOKS,
        row="How fast is it told?",
    ),
)  # fmt: skip
