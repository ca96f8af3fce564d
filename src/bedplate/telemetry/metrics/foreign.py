"""What other libraries put into prometheus-client, shown beside our own.

Their samples are copied into cells, so that they are merged over workers and survive a worker's death like ours. A
family that Bedplate declares itself is not copied: ours is the one that is exposed.
"""

from __future__ import annotations

import sys
from typing import Any

from bedplate.telemetry.metrics.registry import Registry

__all__ = ["PERIOD", "mirror"]

#: Seconds between two copies when nobody scrapes.
PERIOD = 5.0

_TYPES = {"counter", "gauge", "histogram", "summary"}


def mirror(registry: Registry) -> None:
    """Copy the default registry of prometheus-client into ``registry``; nothing when nobody has imported it."""
    client: Any = sys.modules.get("prometheus_client")
    if client is None:
        return
    families = registry.families
    for family in client.REGISTRY.collect():
        kind = family.type if family.type in _TYPES else "gauge" if family.type in ("info", "stateset") else "unknown"
        name = (
            f"{family.name}_total"
            if kind == "counter"
            else f"{family.name}_info"
            if family.type == "info"
            else family.name
        )
        if name in families or family.name in families or name.startswith(("process_", "python_")):
            continue
        described = {"name": name, "type": kind, "help": family.documentation or name, "unit": ""}
        for sample in family.samples:
            if not sample.name.endswith("_created"):
                registry.external(described, sample.name, list(sample.labels.items())).set(sample.value)
