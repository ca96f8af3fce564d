"""The components that every service has, made from its settings."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from starlette.types import ASGIApp

from bedplate.component import Component, Logger
from bedplate.console import Console, ConsoleSettings
from bedplate.console.interfaces import Sources
from bedplate.database import Database, DatabaseSettings
from bedplate.monitor.alerts import Alerts
from bedplate.monitor.alerts.notify import AlertingSettings, Notifier
from bedplate.monitor.alerts.notify.links import links_to
from bedplate.monitor.audit import Audit, AuditSettings
from bedplate.monitor.auth import Authenticator, AuthSettings
from bedplate.monitor.checks import Checks
from bedplate.monitor.health import Health, HealthSettings
from bedplate.monitor.management import Management, ManagementSettings
from bedplate.monitor.prometheus_api.client import Prometheus
from bedplate.monitor.prometheus_api.component import PrometheusApi
from bedplate.monitor.prometheus_api.listing import EngineRules
from bedplate.monitor.prometheus_api.settings import PrometheusSettings
from bedplate.monitor.samples.component import Samples
from bedplate.monitor.samples.queries import Queries
from bedplate.monitor.samples.settings import SampleSettings
from bedplate.monitor.unified import Unified
from bedplate.promql.selectors import scoped
from bedplate.service.relay import Shipping, Store
from bedplate.service.settings import ServiceSettings
from bedplate.service.supervision import Supervision
from bedplate.settings import ReloaderSettings, Settings, SettingsReloader
from bedplate.telemetry.errors import Errors, ErrorSettings
from bedplate.telemetry.http import Http, HttpSettings
from bedplate.telemetry.logs import Logs, LogSettings, Writer, get_logger
from bedplate.telemetry.metrics.component import Metrics
from bedplate.telemetry.redaction import Redactor
from bedplate.telemetry.runtime import Runtime, RuntimeSettings
from bedplate.telemetry.traces import Traces, TraceSettings

__all__ = ["Builtins"]


class Builtins:
    """Bedplate's own components of one service, wired to each other; constructed without I/O.

    :param app: the service as clients meet it. :param operated: whether a path of it is answered for operators.
    """

    def __init__(self, service: str, settings: Settings, app: ASGIApp, operated: Callable[[str], bool]) -> None:
        self._service = service
        self._settings = settings
        self.settings = settings.section(ServiceSettings, "service")
        self.redactor = Redactor()
        settings.on_secret(self._hide)
        self.live = SettingsReloader(settings, options=settings.section(ReloaderSettings, "settings"))
        self.live.subscribe(self._reloaded)
        self.metrics = Metrics()
        self.logs = Logs(LogSettings.of(settings), redactor=self.redactor)
        self.errors = Errors(ErrorSettings.of(settings), redactor=self.redactor)
        self.traces = Traces(TraceSettings.of(settings), redactor=self.redactor)
        self.supervision = Supervision(self._capture)
        self.runtime = Runtime(settings.section(RuntimeSettings, "runtime"))
        self.http = Http(
            settings.section(HttpSettings, "http"),
            traces=self.traces.recorder,
            errors=self.errors.store,
            redactor=self.redactor,
            before_reading=self.metrics.before_reading,
        )
        self.auth = Authenticator(settings.section(AuthSettings, "auth"), environment=settings.environment)
        self.health = Health(settings.section(HealthSettings, "health"), redactor=self.redactor)
        self.samples = Samples(settings.section(SampleSettings, "samples"), source=self.metrics)
        self.queries = self._queries(settings)
        self.prometheus_api = PrometheusApi(
            self.samples, source=self.metrics, auth=self.auth, prefix=self.settings.management_prefix
        )
        # Lazy: a process that evaluates no alerts opens none. What only alerts need makes nobody unready.
        self.database = self._database(settings, "default")
        alerting = settings.section(AlertingSettings, "alerts")
        self.alerts = Alerts(
            alerting.engine,
            database=self.database,
            samples=self.samples,
            queries=self.queries,
            fleet=settings.prometheus_url is not None,
            kept=self.samples.settings.retention,
        )
        self.prometheus_api.rules = EngineRules(self.alerts)
        self.audit = Audit(service, settings.section(AuditSettings, "audit"), environment=settings.environment)
        self.management = Management(
            settings.section(ManagementSettings, "management"),
            registry=self.metrics,
            health=self.health,
            auth=self.auth,
            logs=self.logs.tail,
            traces=self.traces.store,
            errors=self.errors.store,
            redactor=self.redactor,
            scoped=lambda expr: scoped(expr, job=service),
            audit=self.audit,
            prefix=self.settings.management_prefix,
        )
        self.notifier = Notifier(
            alerting.notifier,
            alerts=self.alerts,
            redactor=self.redactor,
            links=links_to(self.settings.public_url, runbook_url=alerting.runbook_url),
        )
        self.unified = Unified(
            health=self.health,
            alerts=self.alerts,
            auth=self.auth,
            presses=self.management.buttons,
            errors=self.errors.store,
            redactor=self.redactor,
            fleet=settings.prometheus_url is not None,
            prefix=self.settings.management_prefix,
        )
        self.checks = Checks(
            app,
            auth=self.auth,
            environment=settings.environment,
            prefix=self.settings.management_prefix,
            operated=operated,
        )
        self.shipping = Shipping(service, self.stores)
        self.console = Console(
            settings.section(ConsoleSettings, "console"),
            sources=Sources(
                service=service,
                environment=settings.environment,
                health=self.health,
                presses=self.management.buttons,
                redactor=self.redactor,
                scoped=lambda expr: scoped(expr, job=service),
                logs=self.logs.tail,
                traces=self.traces.store,
                errors=self.errors.store,
                settings=self.live,
                querier=self.queries,
                alerts=self.alerts,
                audit=self.audit,
                exemplars=self.metrics,
                capture=self._capture,
            ),
            auth=self.auth,
            needs=(self.health, self.samples, self.alerts, self.management),
            serves=lambda: self.shipping.path is None,
        )

    @property
    def stores(self) -> dict[str, Store]:
        """What keeps finished records, by name."""
        return {"traces": self.traces.store, "errors": self.errors.store, "logs": self.logs.tail}

    @property
    def access_sink(self) -> Writer:
        """Where the lines of the access log go."""
        return self.logs.writer

    def before(self) -> list[Component]:
        """Return what starts before the service's own components, so that their start is measured and logged."""
        told: list[Component] = [self.metrics, self.logs, self.errors, self.supervision, self.traces, self.runtime]
        return [*told, self.shipping, self.live, self.http]

    def after(self) -> list[Component]:
        """Return what starts last, because it watches all others."""
        told: list[Component] = [self.samples, self.prometheus_api, self.alerts, self.notifier]
        return [self.auth, self.health, *told, self.audit, self.management, self.unified, self.checks, self.console]

    def meet(self, components: Sequence[Component]) -> None:
        """Keep alerts in the database that the service brings, if it brings one."""
        found = next((one for one in components if one.spec.key == self.database.spec.key), None)
        if isinstance(found, Database):
            self.database = found
        elif found is not None:
            # It is something else that bears the name, so ours takes another.
            self.database = self._database(self._settings, "alerts")
        self.alerts.keep_in(self.database)

    def _database(self, settings: Settings, name: str) -> Database:
        options = settings.section(DatabaseSettings, "database")
        return Database(settings.database_url or "", name, settings=options, lazy=True, critical=False)

    def logger(self, label: str) -> Logger:
        """Return the logger of one component."""
        return get_logger(f"{self._service}.{label}").bind(component=label)

    def _queries(self, settings: Settings) -> Queries:
        asked = PrometheusSettings.of(settings)
        single = self.samples.settings.single_host
        return Queries(
            self._service,
            self.samples,
            fleet=Prometheus(asked) if asked.url is not None else None,
            # Whoever develops or tests has one host; elsewhere somebody has to say so.
            single_host=settings.environment in ("development", "test") if single is None else single,
        )

    def _reloaded(self, old: Settings, new: Settings, changed: frozenset[str]) -> None:
        if "auth.tokens" in changed:
            self.auth.replace(new.section(AuthSettings, "auth").tokens)
        if any(name.startswith(("log_", "logs.")) for name in changed):
            self.logs.apply(LogSettings.of(new))

    def _hide(self, secret: str) -> None:
        self.redactor.add_secret(secret)

    def _capture(self, error: BaseException, where: str) -> None:
        self.errors.store.capture(error, route=where)
