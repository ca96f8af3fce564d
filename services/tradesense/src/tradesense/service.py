"""TradeSense as a service: ``bedplate run tradesense.service:build``."""

from __future__ import annotations

from collections.abc import Sequence

from bedplate.component import Component
from bedplate.database import Database, DatabaseSettings
from bedplate.service import Service
from bedplate.state import store
from bedplate.state.cache import Cache
from bedplate.state.confirmations import Confirmations
from bedplate.state.events import Events
from bedplate.state.idempotency import Idempotency
from bedplate.state.limits import RateLimit, by_client
from bedplate.state.locks import Locks
from bedplate.state.sessions import Sessions
from bedplate.telemetry.http import HttpSettings
from tradesense.api import Parts, create_app
from tradesense.components import (
    Accounts,
    AccountSettings,
    Analytics,
    AnalyticsSettings,
    Deletion,
    Deletions,
    Imported,
    Imports,
    ImportSettings,
    Live,
    LiveSettings,
    MadeUpQuotes,
    Market,
    MarketSettings,
    NoQuotes,
    QuoteSource,
    Records,
)
from tradesense.settings import TradeSenseSettings

__all__ = ["build"]


def build(
    settings: TradeSenseSettings, extra: Sequence[Component] = (), *, quotes: QuoteSource | None = None
) -> Service:
    """Return the service; nothing runs yet.

    :param extra: further components that run with it. :param quotes: where live prices come from.
    """
    shared = store(settings.redis_address)
    database = Database(
        settings.database_url or "",
        replicas=settings.database_replica_urls,
        settings=settings.section(DatabaseSettings, "database"),
    )
    client = by_client(settings.section(HttpSettings, "http").trusted_proxies)
    cache = Cache(shared, "reports", ttl=settings.cache_ttl, prefix=settings.service.management_prefix)
    sessions = Sessions(
        shared, secret=settings.session_secret, idle=min(settings.session_idle, settings.session_longest),
        longest=settings.session_longest,
    )  # fmt: skip
    locks = Locks(shared)
    events = Events(shared)
    imported = events.stream("imported", Imported)
    records = Records(database=database)
    accounts = Accounts(
        AccountSettings(
            memory_kib=settings.password_memory_kib, rounds=settings.password_rounds, threads=settings.password_threads
        ),
        records=records,
        sessions=sessions,
        cache=cache,
        by_address=RateLimit(shared, "sign_in_address", limits=settings.sign_in_by_address, paths=()),
        by_account=RateLimit(shared, "sign_in_account", limits=settings.sign_in_by_account, paths=()),
        opening=RateLimit(shared, "sign_up_address", limits=settings.sign_up_by_address, paths=()),
    )
    analytics = Analytics(
        AnalyticsSettings(threads=settings.analysis_threads, waiting=settings.analysis_waiting),
        records=records,
        cache=cache,
        events=events,
        imported=imported,
    )
    imports = Imports(
        ImportSettings(rows=settings.import_rows), records=records, locks=locks, events=events, imported=imported
    )
    source = quotes or (MadeUpQuotes() if settings.quotes == "made-up" else NoQuotes())
    market = Market(source, MarketSettings(every=settings.quotes_every), events=events, locks=locks)
    live = Live(
        LiveSettings(viewers=settings.live_viewers), records=records, analytics=analytics, market=market, events=events
    )
    deletions = Deletions(
        records=records,
        sessions=sessions,
        imports=imports,
        confirmations=Confirmations(shared, Deletion, "deletions", prefix="tradesense:deletions:"),
    )
    # What is posted twice by a client that lost the answer is entered once. Files need none: again, they add nothing.
    once = Idempotency(shared, paths=("/api/v1/trades", "/api/v1/journal"))
    app = create_app(
        Parts(
            records=records, sessions=sessions, accounts=accounts, analytics=analytics, imports=imports, market=market,
            live=live, deletions=deletions, body_bytes=settings.max_body_bytes, client=client,
        )
    )  # fmt: skip
    components: list[Component] = [records, accounts, analytics, imports, market, live, deletions, once, *extra]
    if settings.rate_limit:
        components.append(RateLimit(shared, "requests", limits=settings.rate_limit, key=client))
    return Service("tradesense", app, components, settings=settings)
