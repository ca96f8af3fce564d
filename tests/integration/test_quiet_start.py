"""Several workers: those that start, and those that end, leave connections to those that can serve them."""

from __future__ import annotations

import contextlib
import http.client
import resource
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import httpx2
import psutil
import pytest

from tests.serving import Running, free_port, run

SHOP = '''
import asyncio, os, time
from contextlib import asynccontextmanager
from pathlib import Path
from bedplate import Service, Settings, Spec

def allowed():
    text = Path("allowed").read_text()
    return int(text) if text else 0

class Gate:
    """Every worker that starts takes the next ticket, and waits until the tickets that may start have reached it."""

    @property
    def spec(self):
        return Spec(kind="gate", summary="Waits for the test.")

    @asynccontextmanager
    async def lifespan(self, host):
        if host.role == "web":
            ticket = 1
            while True:
                try:
                    with open(f"ticket-{ticket}", "x") as file:
                        file.write(str(os.getpid()))
                    break
                except FileExistsError:
                    ticket += 1
            while allowed() < ticket:
                await asyncio.sleep(0.02)
            if Path("broken").exists():
                raise ConnectionError("no route to host")
        async with asyncio.TaskGroup() as group:
            losing = group.create_task(self.lose())
            yield
            losing.cancel()
        if Path(f"stuck-{os.getpid()}").exists():
            time.sleep(3600)

    async def lose(self):
        while not Path(f"lose-{os.getpid()}").exists():
            await asyncio.sleep(0.02)
        raise ConnectionError("the gate is gone")

async def app(scope, receive, send):
    if scope["type"] != "http":
        return
    body = str(os.getpid()).encode()
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % len(body))]})
    if scope["path"] == "/slow":
        Path("slow").touch()
        await asyncio.sleep(1.5)
    await send({"type": "http.response.body", "body": body})

def build(settings: Settings) -> Service:
    return Service("shop", app, [Gate()], settings=settings)
'''


class Stream:
    """Requests without end, each on a connection of its own, and what became of them."""

    def __init__(self, port: int, clients: int = 3) -> None:
        self._port = port
        self._over = threading.Event()
        self._lock = threading.Lock()
        self._threads = [threading.Thread(target=self._go_on) for _ in range(clients)]
        self.told: Counter[str] = Counter()
        self.served: Counter[int] = Counter()
        self.in_a_row = 0

    def _go_on(self) -> None:
        while not self._over.wait(0.02):
            told, pid = ask(self._port)
            with self._lock:
                self.told[told] += 1
                self.served[pid] += told == "200"
                self.in_a_row = self.in_a_row + 1 if told == "200" else 0

    @contextlib.contextmanager
    def going_on(self) -> Iterator[Stream]:
        for thread in self._threads:
            thread.start()
        try:
            yield self
        finally:
            self._over.set()
            for thread in self._threads:
                thread.join()

    @property
    def lost(self) -> dict[str, int]:
        """What became of requests that were not served."""
        return {told: count for told, count in self.told.items() if told != "200"}


def ask(port: int) -> tuple[str, int]:
    """Pay once; return the status or what went wrong, and who has answered."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    with contextlib.closing(connection):
        try:
            connection.request("POST", "/pay", body=b"1")
            answer = connection.getresponse()
            body = answer.read()
        except (OSError, http.client.HTTPException) as error:
            return type(error).__name__, 0
    return str(answer.status), int(body) if answer.status == 200 else 0


def fresh(port: int, path: str) -> int:
    """Return the status of an answer on a connection of its own."""
    return httpx2.get(f"http://127.0.0.1:{port}{path}", timeout=60).status_code


def detail(port: int) -> str:
    """Return what operators are told of the health of the service."""
    return httpx2.get(f"http://127.0.0.1:{port}/monitoring/health/detailed", timeout=60).text


class Shop:
    """The service with two workers, and which of them may start."""

    def __init__(self, folder: Path, running: Running) -> None:
        self.folder, self.running, self.port = folder, running, running.port

    def allow(self, tickets: int) -> None:
        """Let as many workers start, in the order in which they drew their tickets."""
        (self.folder / "allowed").write_text(str(tickets))

    def drawn(self, ticket: int) -> psutil.Process:
        """Return the worker that drew a ticket, when it has."""
        path = self.folder / f"ticket-{ticket}"
        self.running.eventually(lambda: path.exists() and path.read_text(), 60)
        return psutil.Process(int(path.read_text()))

    def served_by(self, stream: Stream, *tickets: int) -> None:
        """Wait until each of these workers has answered."""
        pids = [self.drawn(ticket).pid for ticket in tickets]
        self.running.eventually(lambda: all(stream.served[pid] for pid in pids), 60)

    def served(self, stream: Stream, more: int = 100) -> None:
        """Wait until so many more requests have been answered, however."""
        enough = stream.told.total() + more
        self.running.eventually(lambda: stream.told.total() >= enough, 60)


@contextlib.contextmanager
def shop_of_two(tmp_path: Path, allowed: int = 2, **environment: str) -> Iterator[Shop]:
    (tmp_path / "gate.py").write_text(SHOP)
    (tmp_path / "allowed").write_text(str(allowed))
    with run(
        tmp_path, "--workers", "2", target="gate:build", BEDPLATE_SERVICE__START_TIMEOUT="600", **environment
    ) as running:
        yield Shop(tmp_path, running)


@pytest.mark.timeout(300)
def test_requests_go_to_workers_that_can_serve_them_from_the_first_start_to_the_last_stop(tmp_path: Path) -> None:
    operators = free_port()
    timing = {"BEDPLATE_SERVICE__MANAGEMENT_PORT": str(operators), "BEDPLATE_SERVICE__DRAIN": "600"}
    with shop_of_two(tmp_path, 0, **timing) as shop:
        running, port = shop.running, shop.port
        one, two = shop.drawn(1), shop.drawn(2)
        # While none has started, one that has not must answer the probes.
        assert [fresh(port, path) for path in ("/livez", "/readyz", "/pay")] == [200, 503, 503]
        running.eventually(lambda: fresh(operators, "/livez") == 200, 60)
        assert fresh(operators, "/readyz") == 503, "the process that watches is there, and nobody serves"
        with Stream(port).going_on() as stream:
            shop.allow(1)
            # With both doors open half of them would be refused.
            running.eventually(lambda: stream.in_a_row >= 100, 60)
            assert stream.served[two.pid] == 0
            running.eventually(lambda: fresh(operators, "/readyz") == 200, 60)
            shop.allow(2)
            shop.served_by(stream, 1, 2)

        with Stream(port).going_on() as stream:
            one.kill()
            three = shop.drawn(3)
            shop.served(stream)
            running.eventually(lambda: "its replacement does not serve" in detail(operators), 60)
            # A request in the hands of the one that was killed is lost; there were three clients.
            assert stream.told["503"] == stream.told["ConnectionRefusedError"] == 0
            assert sum(stream.lost.values()) <= 3

        # The last that served dies while another one starts: that one answers the probes then.
        two.kill()
        running.eventually(lambda: fresh(port, "/pay") == 503, 60)
        assert [fresh(port, path) for path in ("/livez", "/readyz")] == [200, 503]
        running.eventually(lambda: fresh(operators, "/readyz") == 503, 60)
        shop.allow(100)
        running.eventually(lambda: fresh(operators, "/readyz") == 200, 60)
        with Stream(port).going_on() as stream:
            shop.served_by(stream, 3, 4)
        running.eventually(lambda: "its replacement does not serve" not in detail(operators), 60)

        # One that is told to stop leaves what comes to the other, and leads those who have connected there.
        kept = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        kept.request("POST", "/pay", body=b"1")
        told = int(kept.getresponse().read())
        other = {three.pid, shop.drawn(4).pid} - {told}
        psutil.Process(told).terminate()
        running.eventually(lambda: {ask(port)[1] for _ in range(20)} == other, 60)
        assert {ask(port)[1] for _ in range(50)} == other
        kept.request("POST", "/pay", body=b"1")
        answer = kept.getresponse()
        assert (int(answer.read()), answer.headers["connection"]) == (told, "close")

        # As a service manager does: every process of the service is told to stop, the parent last. All serve on.
        found: list[int] = []
        slow = threading.Thread(target=lambda: found.append(fresh(port, "/slow")))
        slow.start()
        running.eventually((shop.folder / "slow").exists, 60)
        parent = psutil.Process(running.process.pid)
        for process in (*parent.children(), parent):
            process.terminate()
        running.eventually(lambda: fresh(port, "/readyz") == 503, 60)
        with Stream(port).going_on() as stream:
            shop.served_by(stream, 3, 4)
        assert stream.lost == {}
        slow.join()
        assert found == [200]
        assert [fresh(operators, path) for path in ("/livez", "/readyz")] == [200, 503], "its turn comes after theirs"
        # Somebody is in a hurry.
        running.process.terminate()
        assert running.process.wait(60) == 0


@pytest.mark.timeout(300)
def test_what_becomes_of_a_replaced_worker_is_no_concern_of_requests(tmp_path: Path) -> None:
    operators = free_port()
    timing = {"BEDPLATE_SERVICE__MANAGEMENT_PORT": str(operators), "BEDPLATE_SERVICE__STOP_TIMEOUT": "1"}
    with shop_of_two(tmp_path, **timing) as shop:
        running, port = shop.running, shop.port
        running.eventually(lambda: fresh(port, "/pay") == 200, 60)
        with Stream(port).going_on() as stream:
            shop.served_by(stream, 1, 2)

        # One that has no files left would reset what it takes.
        with no_more_files(shop.drawn(1)):
            running.eventually(lambda: "has opened nearly as many files as it may" in running.log, 60)
            with Stream(port).going_on() as stream:
                shop.served(stream)
        assert stream.lost == {}
        assert set(stream.served) == {shop.drawn(2).pid}
        with no_more_files(shop.drawn(1)), no_more_files(shop.drawn(2)):
            # Nobody takes connections, so that no operator should be told that somebody serves.
            running.eventually(lambda: fresh(operators, "/readyz") == 503, 60)
        running.eventually(lambda: fresh(operators, "/readyz") == 200, 60)

        with Stream(port).going_on() as stream:
            shop.served_by(stream, 1, 2)
            # Told to stop it loses nothing, not even of clients that have connected and not asked yet; and if it
            # hangs when it serves nobody any more, it is replaced nevertheless.
            (shop.folder / f"stuck-{shop.drawn(1).pid}").touch()
            shop.drawn(1).terminate()
            running.eventually(lambda: "did not stop in time and is killed" in running.log, 60)
            # Told to stop in the middle of its start, its replacement ends at once.
            shop.drawn(3).terminate()
            assert gone(shop.drawn(3))
            shop.drawn(4)
            assert "ended with status 0" in running.log

            (shop.folder / "broken").touch()
            shop.allow(4)
            running.eventually(lambda: "ended with status 3" in running.log, 60)
            assert "gate did not start: ConnectionError: no route to host" in running.log
            (shop.folder / "broken").unlink()
            shop.allow(100)
            shop.served_by(stream, 2, 5)
            assert stream.lost == {}

            # One that loses a component ends; a supervisor that is out of files tries again to replace it.
            with no_more_files(psutil.Process(running.process.pid)):
                (shop.folder / f"lose-{shop.drawn(2).pid}").touch()
                running.eventually(lambda: "cannot be started, which is tried again" in running.log, 60)
                assert "ended with status 4" in running.log
                shop.allow(0)
            starting = shop.drawn(6)
            shop.served(stream)
            assert stream.lost == {}

        # The service is told to stop while a worker starts.
        running.process.terminate()
        assert running.process.wait(60) == 0
        assert gone(starting)


@contextlib.contextmanager
def no_more_files(process: psutil.Process) -> Iterator[None]:
    """Let a process open no more files, even when it closes one or two."""
    limits = resource.prlimit(process.pid, resource.RLIMIT_NOFILE)
    resource.prlimit(process.pid, resource.RLIMIT_NOFILE, (process.num_fds() - 4, limits[1]))
    yield
    resource.prlimit(process.pid, resource.RLIMIT_NOFILE, limits)


def gone(process: psutil.Process) -> bool:
    """Wait for the end of a process."""
    _, alive = psutil.wait_procs([process], timeout=60)
    return not alive
