"""The demo on real servers: it comes up on them, shows lag and pools, does without a replica, and leaves nothing."""

from __future__ import annotations

import os
import re
import signal
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.demonstrating import Demo, address_of, demos


@pytest.mark.timeout(300)
def test_the_services_run_on_real_servers_which_end_with_them(tmp_path: Path) -> None:
    with demos(tmp_path) as start:
        demo = start("--port", "0", "--calm", "--production")
        demo.base = address_of(demo)
        demo.until(lambda: "On real servers" in demo.printed(), "the servers")
        demo.until(lambda: "who asks" in demo.printed(), "what to try")
        pids = {name.strip(): int(pid) for name, pid in re.findall(r"^  (\S.*?) +kill -9 (\d+)$", demo.printed(), re.M)}
        wanted = {"primary", "replica", "pgbouncer of synfinance", "pgbouncer of tradesense", "redis of tradesense"}
        assert wanted <= set(pids)
        folder = re.search(r"psql -h (\S+) ", demo.printed())
        assert folder is not None and Path(folder[1]).exists()

        demo.until(lambda: _of_tradesense(demo, "replica/health")["status"] == "healthy", "a healthy replica")
        assert _of_tradesense(demo, "replica/lag")["replicas"]["replica1"]["lagSeconds"] < 10
        assert _of_tradesense(demo, "replica/pool-stats")["limitPerProcess"] == 30
        assert _of_tradesense(demo, "info")["type"] == "postgresql"
        for metrics in ("/synfinance/monitoring", "/tradesense/api/v1/monitoring"):
            numbers = demo.get(f"{metrics}/unified/metrics").json()
            assert numbers["database"]["available"] is True and numbers["database"]["pooler"] == "transaction"
            assert numbers["pgbouncer"], metrics

        os.kill(pids["replica"], signal.SIGKILL)
        demo.until(lambda: "replica died" in demo.printed(), "word of it")
        demo.until(lambda: _of_tradesense(demo, "replica/health")["readsFrom"] == "primary", "reads from the primary")
        demo.until(lambda: demo.get("/readyz").status_code == 200, "the services to be ready")

        assert demo.end(signal.SIGINT) == 0
        assert "Traceback" not in demo.printed()
        assert not [pid for pid in pids.values() if psutil.pid_exists(pid)]
        assert not Path(folder[1]).exists()


def _of_tradesense(demo: Demo, what: str) -> Any:
    return demo.get(f"/tradesense/database/{what}").raise_for_status().json()
