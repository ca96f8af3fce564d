"""How a service is: probes in the background, and answers that never wait for them."""

from bedplate.monitor.health.blocking import blocking
from bedplate.monitor.health.board import HealthBoard
from bedplate.monitor.health.component import Health
from bedplate.monitor.health.settings import HealthSettings
from bedplate.monitor.health.status import Reason, Status

__all__ = ["Health", "HealthBoard", "HealthSettings", "Reason", "Status", "blocking"]
