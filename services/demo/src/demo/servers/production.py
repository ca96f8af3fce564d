"""A primary with a replica, a PgBouncer for each service, and a Redis for those that share state."""

from __future__ import annotations

import secrets
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from demo.servers.postgres import Postgres, make_primary, make_replica
from demo.servers.programs import folder_of_a_server, free_port, postgres_programs
from demo.servers.rendered import Rendered, render
from demo.servers.server import Server

__all__ = ["Production", "production"]


class Production:
    """The servers by name, and where each service finds them."""

    def __init__(self) -> None:
        self.servers: dict[str, Server] = {}
        self.addresses: dict[str, dict[str, str]] = {}
        #: For a shell: what a service finds its servers by, as variables of the environment. They hold passwords.
        self.files: dict[str, Path] = {}

    @property
    def document(self) -> dict[str, Any]:
        """All that somebody outside must know, as JSON has it; it holds passwords."""
        servers = {name: {"pid": one.pid, "log": str(one.folder / "log")} for name, one in self.servers.items()}
        primary = self.servers["primary"]
        assert isinstance(primary, Postgres)
        ask = "SELECT application_name, state, query FROM pg_stat_activity WHERE backend_type LIKE 'client%'"
        servers["primary"]["ask"] = f'{primary.client} -c "{ask}"'
        files = {name: str(file) for name, file in self.files.items()}
        return {"servers": servers, "services": self.addresses, "files": files}


@contextmanager
def production(services: Sequence[str], sharing: Sequence[str], tenants: Sequence[str] = ()) -> Iterator[Production]:
    """Run them while inside, on free ports of the loopback; nothing is left of them afterwards.

    :param services: each gets a database and a role of its name. :param sharing: those that get a Redis.
    :param tenants: those that keep their organisations apart by a role ``<service>_tenant``, which they may not make.
    :raises ServerError: when one does not start. :raises MissingProgramError: when a program is not installed.
    """
    made, programs = Production(), postgres_programs()
    with ExitStack() as stack:
        top = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bedplate-servers-")))
        top.chmod(0o711)  # servers that are not root's must reach their own folders in it

        def start(name: str, server: Server) -> None:
            stack.callback(server.stop)
            server.start()
            made.servers[name] = server

        def folder(name: str) -> Path:
            return stack.enter_context(folder_of_a_server(f"{name}-", top))

        # What a preflight asks for the statements that a cutover would make dear.
        counting = "pg_stat_statements" if any(programs.parent.glob("lib/**/pg_stat_statements.so")) else ""
        settings = (f"shared_preload_libraries={counting}",)
        primary = Postgres(programs, folder("primary"), settings, port=free_port())
        make_primary(programs, primary.folder, over_the_network="scram-sha-256")
        start("primary", primary)
        passwords = {service: secrets.token_urlsafe(12) for service in services}
        for service, password in passwords.items():
            primary.sql(f"CREATE ROLE {service} LOGIN PASSWORD '{password}'")
            # A cutover must see replicas, the disk, and transactions of others that stand in its way.
            primary.sql(f"GRANT pg_monitor TO {service}")
            primary.sql(f"CREATE DATABASE {service} OWNER {service}")
            if counting:
                primary.sql(f"CREATE EXTENSION {counting}", service)
        for service in tenants:
            primary.sql(f"CREATE ROLE {service}_tenant NOLOGIN")
            primary.sql(f"GRANT {service}_tenant TO {service}")
        replica = Postgres(programs, folder("replica"), ("hot_standby_feedback=on",), port=free_port())
        make_replica(primary, replica.folder)
        start("replica", replica)

        for service, password in passwords.items():
            files, hidden = top / "rendered", top / f"secrets-{service}"
            render(service, files)
            hidden.mkdir(0o700)
            for name in ("redis-admin", "redis-replication", "pgbouncer-admin"):
                (hidden / f"{name}-password").write_text(secrets.token_urlsafe(12))
            for name in ("redis", "database"):
                (hidden / f"{name}-password").write_text(password)
            script = files / "pgbouncer" / service / "start"
            told = {"PRIMARY": f"127.0.0.1 {primary.port}", "REPLICAS": f"127.0.0.1 {replica.port}"}
            pooler = Rendered(script, folder("pgbouncer"), free_port(), secrets=hidden, told=told)
            start(f"pgbouncer of {service}", pooler)
            made.addresses[service] = _addresses(service, password, primary, pooler)
            if service in sharing:
                script = files / "redis" / service / "start"
                redis = Rendered(script, folder("redis"), free_port(), secrets=hidden, words=("state",))
                start(f"redis of {service}", redis)
                made.addresses[service]["redis_url"] = f"redis://{service}:{password}@127.0.0.1:{redis.port}/0"
            made.files[service] = _variables(top / f"{service}.env", made.addresses[service])
        yield made


def _variables(file: Path, addresses: dict[str, str]) -> Path:
    """Write the settings of a service for a shell, which nobody else may read."""
    values = {name.upper(): value for name, value in addresses.items() if name != "console"}
    values["BEDPLATE_DATABASE__POOLER"] = "transaction"
    file.touch(0o600)
    file.write_text("".join(f"export {name}='{value}'\n" for name, value in values.items()))
    return file


def _addresses(service: str, password: str, primary: Postgres, pooler: Rendered) -> dict[str, str]:
    """Return the settings of a service by their names, and the address of its PgBouncer's console."""
    through = f"postgresql://{service}:{password}@127.0.0.1:{pooler.port}"
    return {
        "database_url": f"{through}/{service}",
        "database_replica_urls": f"{through}/{service}_replica1",
        "database_primary_url": f"postgresql://{service}:{password}@127.0.0.1:{primary.port}/{service}",
        "console": f"{through}/pgbouncer",
    }
