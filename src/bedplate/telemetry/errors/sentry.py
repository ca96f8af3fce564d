"""Reports to Sentry, for services that have it: our grouping, our redaction, no personal data, nothing twice."""

from __future__ import annotations

import atexit
import copy
import importlib.util
import threading
from collections import Counter
from time import time
from typing import TYPE_CHECKING, Any

from bedplate.component import Environment
from bedplate.telemetry.errors.groups import ErrorGroup
from bedplate.telemetry.errors.settings import ErrorSettings
from bedplate.telemetry.redaction import Redactor

if TYPE_CHECKING:
    from sentry_sdk.client import BaseClient

__all__ = ["SentryReporter", "is_installed"]

_CLOSE_SECONDS = 2.0


def is_installed() -> bool:
    """Return whether the SDK can be imported."""
    return importlib.util.find_spec("sentry_sdk") is not None


class SentryReporter:
    """Reports captured errors.

    None of the SDK's integrations is switched on: what they would see (logs, threads, the framework) comes here through
    the store, once. When the service has initialised the SDK itself, its client is used, whose own de-duplication then
    recognises the exceptions.

    :ivar outcomes: reports by outcome: ``sent`` (handed to the SDK), ``limited``, ``failed``.
    """

    def __init__(self, settings: ErrorSettings, service: str, environment: Environment, redactor: Redactor) -> None:
        import sentry_sdk

        assert settings.sentry_dsn is not None
        self.outcomes: Counter[str] = Counter({"sent": 0, "limited": 0, "failed": 0})
        self._service = service
        self._redactor = redactor
        self._per_minute = settings.sentry_per_minute
        self._minute = 0
        self._reports: Counter[str] = Counter()
        self._lock = threading.Lock()
        self._scope = sentry_sdk.get_global_scope()
        known = sentry_sdk.get_client()
        self._owns = not known.is_active()
        self._before = known
        self._client: BaseClient = known
        if self._owns:
            self._client = sentry_sdk.Client(
                dsn=settings.sentry_dsn.reveal(),
                release=settings.release or None,
                environment=environment,
                default_integrations=False,
                auto_enabling_integrations=False,
                include_local_variables=False,
                max_breadcrumbs=0,
                max_request_body_size="never",
                before_send=self._clean,
                shutdown_timeout=_CLOSE_SECONDS,
            )
            # The service's own calls, such as capture_message, go the same way.
            self._scope.set_client(self._client)
        atexit.register(self.close)

    def __call__(self, group: ErrorGroup, error: BaseException, handled: bool) -> None:
        """Report one error, unless its group is muted or has been reported often enough this minute."""
        if group.status == "muted":
            return
        try:
            if not self._may_report(group.fingerprint):
                self.outcomes["limited"] += 1
                return
            event, hint = self._event(group, error, handled)
            self._client.capture_event(event, hint=hint)
            self.outcomes["sent"] += 1
        except Exception:
            self.outcomes["failed"] += 1

    def close(self) -> None:
        """Send what waits, for at most two seconds; blocks."""
        atexit.unregister(self.close)
        if not self._owns:
            self._client.flush(timeout=_CLOSE_SECONDS)
            return
        self._client.close(timeout=_CLOSE_SECONDS)
        if self._scope.client is self._client:
            self._scope.set_client(self._before)

    def _may_report(self, fingerprint: str) -> bool:
        with self._lock:
            minute = int(time() // 60)
            if minute != self._minute:
                self._minute = minute
                self._reports.clear()
            self._reports[fingerprint] += 1
            return self._reports[fingerprint] <= self._per_minute

    def _event(self, group: ErrorGroup, error: BaseException, handled: bool) -> tuple[Any, Any]:
        from sentry_sdk.utils import event_from_exception

        mechanism = {"type": "bedplate", "handled": handled}
        event, hint = event_from_exception(error, client_options=self._client.options, mechanism=mechanism)
        fields: dict[str, Any] = dict(event)
        for value in fields.get("exception", {}).get("values", ()):
            for frame in value.get("stacktrace", {}).get("frames", ()):
                frame.pop("vars", None)  # a client that is not ours may collect local variables
        sample = group.sample
        fields["fingerprint"] = [group.fingerprint]
        fields["tags"] = {"service": self._service, "fingerprint": group.fingerprint}
        for name in ("route", "request_id"):
            if sample.get(name):
                fields["tags"][name] = str(sample[name])[:200]
        if sample.get("trace_id"):
            fields["contexts"] = {"trace": {"trace_id": sample["trace_id"], "span_id": sample.get("span_id")}}
        if not self._owns:
            fields = self._clean(fields, {})
        return fields, hint

    def _clean(self, event: Any, hint: Any) -> Any:
        """Redact an event; a copy of the redactor knows the secrets of now, and leaves whole stacks whole."""
        redactor = copy.copy(self._redactor)
        redactor.limit, redactor.depth, redactor.items, redactor.characters = 8_192, 16, 50_000, 1_000_000
        return redactor.mapping(event)
