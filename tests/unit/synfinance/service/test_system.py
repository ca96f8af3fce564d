"""What the service takes of the machine."""

from __future__ import annotations

import socket

import psutil

from bedplate.testing import running
from synfinance.components import System
from synfinance.components.system import _connections


async def test_memory_cpu_disk_and_connections_are_measured() -> None:
    async with running(System()) as harness:

        async def read() -> bool:
            return "synfinance_active_connections" in await harness.samples()

        await harness.eventually(read)
        sum(range(2_000_000))
        await harness.clock.advance(6)
        samples = await harness.samples()
        assert 1e6 < samples["synfinance_memory_usage_bytes"] < samples["synfinance_memory_limit_bytes"]
        assert 0 < samples["synfinance_disk_usage_ratio"] < 1
        assert samples["synfinance_cpu_usage_ratio"] >= 0


def test_connections_to_ports_listened_on_count_and_others_do_not() -> None:
    process = psutil.Process()
    with socket.create_server(("127.0.0.1", 0)) as server:
        before = _connections(process)
        with socket.create_connection(server.getsockname()) as client:
            accepted, _ = server.accept()
            with accepted:
                assert _connections(process) == before + 1
            assert client.getsockname()[1] != server.getsockname()[1]
