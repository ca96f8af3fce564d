"""Ledger as a service: ``bedplate run ledger.service:build``."""

from __future__ import annotations

from collections.abc import Sequence

from bedplate.component import Component
from bedplate.database import Database, DatabaseSettings
from bedplate.database.cutover import Cutover
from bedplate.service import Service
from bedplate.service.settings import ServiceSettings
from bedplate.state import store
from bedplate.state.cache import Cache
from bedplate.state.idempotency import Idempotency
from bedplate.state.limits import RateLimit, by_client
from bedplate.state.locks import Locks
from bedplate.telemetry.http import HttpSettings
from ledger.api import Parts, create_app
from ledger.components import (
    Books,
    BooksSettings,
    Imports,
    ImportSettings,
    Rehearsal,
    RehearsalSettings,
    Reports,
    Tokens,
)
from ledger.settings import LedgerSettings

__all__ = ["build"]


def build(settings: LedgerSettings, extra: Sequence[Component] = ()) -> Service:
    """Return the service; nothing runs yet.

    :param extra: further components that run with it.
    """
    shared = store(settings.redis_address)
    database = Database(
        settings.database_url or "",
        replicas=settings.database_replica_urls,
        settings=settings.section(DatabaseSettings, "database"),
    )
    client = by_client(settings.section(HttpSettings, "http").trusted_proxies)
    prefix = settings.section(ServiceSettings, "service").management_prefix
    cache = Cache(shared, "reports", ttl=settings.cache_ttl, prefix=prefix)
    books = Books(
        BooksSettings(check_every=settings.check_every, check_at_once=settings.check_at_once),
        database=database,
        cache=cache,
    )
    tokens = Tokens(books=books, admin=settings.admin_token)
    reports = Reports(books=books)
    importing = ImportSettings(
        rows=settings.import_rows, at_once=settings.imports_at_once, waiting=settings.imports_waiting,
        each=settings.imports_each,
    )  # fmt: skip
    imports = Imports(importing, books=books, locks=Locks(shared))
    rehearsal = Rehearsal(RehearsalSettings(every=settings.rehearse_every), books=books, reports=reports)
    # What is posted twice by a client that lost the answer is posted once, even without a reference of its own.
    once = Idempotency(
        shared,
        paths=("/api/v1/revenue", "/api/v1/expenses", "/api/v1/journal", "/api/v1/batch"),
        caller=tokens.caller,
    )
    # What organisations and imports may ask for is counted where it is asked for, not of every request.
    opening = RateLimit(shared, "organizations", limits=settings.organizations_limit, paths=())
    files = RateLimit(shared, "imports", limits=settings.import_limit, paths=())
    app = create_app(
        Parts(
            books=books, tokens=tokens, reports=reports, imports=imports, rehearsal=rehearsal, opening=opening,
            importing=files, body_bytes=settings.max_body_bytes, client=client,
        )
    )  # fmt: skip
    # The two tables that outgrow one heap; nothing moves until somebody presses start.
    moving = Cutover(
        database,
        name="transactions",
        tables=("revenue_transactions", "expense_transactions"),
        key="organization_id",
        partitions=settings.partitions,
        primary=settings.database_primary_url or "",
        prefix=prefix,
    )
    components: list[Component] = [
        books, tokens, reports, imports, rehearsal, once, opening, files, moving, *extra,
    ]  # fmt: skip
    if settings.rate_limit:
        components.append(RateLimit(shared, "requests", limits=settings.rate_limit, key=client))
    return Service("ledger", app, components, settings=settings)
