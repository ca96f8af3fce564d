"""What other libraries put into prometheus-client, shown beside our own.

Their samples are copied into cells, so that they are merged over workers and survive a worker's death like ours. A
family that Bedplate declares itself is not copied: ours is the one that is exposed.
"""

from __future__ import annotations

import asyncio
import sys
from typing import Any

from bedplate.telemetry.metrics.merge import SLICE
from bedplate.telemetry.metrics.registry import Registry

__all__ = ["PERIOD", "mirror"]

#: Seconds between two copies when nobody scrapes.
PERIOD = 5.0

_TYPES = {"counter", "gauge", "histogram", "summary"}


async def mirror(registry: Registry) -> None:
    """Copy the default registry of prometheus-client into ``registry``; nothing when nobody has imported it.

    It leaves the event loop its turn between families, and after every few hundred samples.
    """
    client: Any = sys.modules.get("prometheus_client")
    if client is None:
        return
    families = registry.families
    copied = 0
    for family in client.REGISTRY.collect():
        described = _described(family)
        if described["name"] in families or family.name in families or family.name.startswith(("process_", "python_")):
            continue
        for sample in family.samples:
            if not sample.name.endswith("_created"):
                registry.external(described, sample.name, list(sample.labels.items())).set(sample.value)
                copied += 1
                if copied % SLICE == 0:
                    await asyncio.sleep(0)


def _described(family: Any) -> dict[str, Any]:
    kind, name, merge = family.type, family.name, "sum"
    if kind == "counter":
        name = f"{name}_total"
    elif kind == "info" or kind == "stateset":
        # 1 in every process is 1 of the service.
        kind, name, merge = "gauge", f"{name}_info" if kind == "info" else name, "max"
    elif kind not in _TYPES:
        kind = "unknown"
    return {"name": name, "type": kind, "help": family.documentation or name, "unit": "", "merge": merge}
