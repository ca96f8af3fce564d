"""Who is told of alerts: people by Apprise, Alertmanager, and somebody who hears when nobody can tell any more."""

from bedplate.monitor.alerts.notify.component import Notifier
from bedplate.monitor.alerts.notify.settings import AlertingSettings, NotifySettings

__all__ = ["AlertingSettings", "Notifier", "NotifySettings"]
