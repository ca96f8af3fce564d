"""What the demo prints: addresses, the opening scene, and a line now and then."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.markup import escape

from demo.real import Real

__all__ = ["Screen"]


class Screen:
    """Prints for people; without colours and cursor movements when the output is no terminal."""

    def __init__(self, console: Console | None = None) -> None:
        # Addresses must stay whole to be clicked and copied, however narrow the terminal is.
        self._console = console or Console(highlight=False, soft_wrap=True)
        #: The servers that the services run on, where they are real.
        self.real: Real | None = None
        self._link = ""
        self._told = False

    def console_link(self, link: str) -> None:
        """Tell where the console lets whoever sees this terminal in, once; with the other addresses at first."""
        self._link = link
        if self._told:
            self._console.print(f"  {'console':<15}[link={link}][cyan]{link}[/cyan][/link]")

    def addresses(self, base: str) -> None:
        """Print where everything is."""
        service = f"{base}/synfinance"
        self._told = True
        self._console.print("[bold]Bedplate demo[/bold]: SynFinance, TradeSense and Ledger with live traffic")
        self._console.print()
        for name, address in (
            ("console", self._link or f"{service}/console"),
            ("index", f"{base}/"),
            ("API docs", f"{service}/docs"),
            ("fraud summary", f"{service}/fraud"),
            ("metrics", f"{service}/metrics"),
            ("health", f"{service}/health"),
            ("monitoring", f"{service}/monitoring"),
            ("trade journal", f"{base}/tradesense/docs"),
            ("its monitoring", f"{base}/tradesense/api/v1/monitoring"),
            ("books", f"{base}/ledger/docs"),
            ("books' cache", f"{base}/ledger/cache/stats"),
        ):
            self._console.print(f"  {name:<15}[link={address}][cyan]{address}[/cyan][/link]")
        self._console.print()
        if self.real is not None:
            self._to_try(base, self.real)

    def _to_try(self, base: str, real: Real) -> None:
        """Print what can be seen of the servers, and done to them."""
        self.heading("On real servers, each of which may die; it is started again by itself after 20 s")
        lines = [(name, f"kill -9 {server['pid']}") for name, server in real.servers.items()]
        lines += [
            ("lag", f"{base}/tradesense/database/replica/lag"),
            ("pools", f"{base}/tradesense/database/replica/pool-stats"),
        ]
        lines += [("who asks", real.servers["primary"]["ask"])]
        self._lines(lines)
        self.heading("Tables that move to partitions while they are written to: press Start, watch, switch, roll back")
        bedplate = Path(sys.executable).with_name("bedplate")
        shown = bedplate.relative_to(Path.cwd()) if bedplate.is_relative_to(Path.cwd()) else bedplate
        self._lines(
            [
                ("cutover", f"{base}/ledger/console/components/cutover/transactions"),
                ("by a command", f"( . {real.files['ledger']}; {shown} cutover status ledger.service:build )"),
            ]
        )

    def _lines(self, lines: Sequence[tuple[str, str]]) -> None:
        for what, how in lines:
            self._console.print(f"  {what:<25}{escape(how)}")
        self._console.print()

    def heading(self, text: str) -> None:
        """Print what comes next."""
        self._console.print(f"[bold]{text}[/bold]")

    def step(self, what: str, result: str) -> None:
        """Print one step of the opening scene."""
        self._console.print(f"  [green]✓[/green] {what}: {result}")

    def trouble(self, what: str) -> None:
        """Print what went otherwise than it should."""
        self._console.print(f"  [yellow]![/yellow] {what}")

    def ring(self, title: str) -> None:
        """Print what somebody would have been woken with."""
        self._console.print(f"  [magenta]pager[/magenta] {escape(title)}")

    def status(self, text: str) -> None:
        """Print one line of the running traffic."""
        self._console.print(f"[dim]{time.strftime('%H:%M:%S')}[/dim]  {text}")

    def note(self, text: str) -> None:
        """Print a plain line."""
        self._console.print(text)
