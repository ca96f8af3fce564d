"""The console of a service with several workers: one process serves it, whichever worker is asked."""

from __future__ import annotations

import os
import re
import signal
import subprocess
from pathlib import Path

import httpx2

from tests.serving import run


def test_workers_pass_the_console_on_and_a_session_lasts_over_all_of_them(tmp_path: Path) -> None:
    with run(tmp_path, "--workers", "2") as running:
        running.ready()
        running.eventually(lambda: re.search(r"http://\S+/console/enter\?key=\S+", running.log))
        [link] = re.findall(r"http://\S+/console/enter\?key=\S+", running.log)
        assert link.startswith(f"http://127.0.0.1:{running.port}/console/enter")
        base, headers = f"http://127.0.0.1:{running.port}", {"accept": "text/html"}
        with httpx2.Client(base_url=base, headers=headers, timeout=60) as person:
            running.eventually(lambda: person.get("/console").status_code == 303)
            assert person.get(link).headers["location"] == "/console/"
            for _ in range(6):
                # A new connection each time, so that the kernel chooses among the workers.
                page = person.get("/console", headers={"connection": "close"})
                assert page.status_code == 200 and "shop is " in page.text
            assert person.get("/boom").status_code == 500
            running.eventually(lambda: "RuntimeError" in person.get("/console/errors").text)
            assert "4111 1111" not in person.get("/console/errors").text
            with person.stream("GET", "/console/live?topic=home") as stream:
                assert stream.headers["content-type"].startswith("text/event-stream")
                text = ""
                for piece in stream.iter_text():
                    text += piece
                    if '"topic":"home"' in text:
                        break
            style = re.search(r'/console/static/[^"]+console\.css', page.text)
            assert style is not None and person.get(style[0]).status_code == 200


TOWN = """
from bedplate.service import Process, Service
import shop

def build(settings):
    return Process([shop.build(settings), Service("mill", settings=settings)])
"""


def test_workers_pass_the_console_of_all_services_on_and_it_comes_back_when_the_process_that_watches_has_died(
    tmp_path: Path,
) -> None:
    (tmp_path / "town.py").write_text(TOWN)
    with run(tmp_path, "--workers", "2", target="town:build") as running:
        running.ready()
        running.eventually(lambda: re.search(r"http://\S+/console/enter\?key=\S+", running.log))
        [link] = re.findall(r"http://\S+/console/enter\?key=\S+", running.log)
        assert link.startswith(f"http://127.0.0.1:{running.port}/console/enter")
        base, headers = f"http://127.0.0.1:{running.port}", {"accept": "text/html"}
        with httpx2.Client(base_url=base, headers=headers, timeout=60) as person:
            running.eventually(lambda: person.get("/console/").status_code == 303)
            assert person.get(link).headers["location"] == "/console/"
            home = person.get("/console/").text
            assert 'href="/shop/console/"' in home and 'href="/mill/console/"' in home
            assert person.get("/mill/console/").status_code == 200
            running.eventually(lambda: list((tmp_path / ".bedplate").glob("*.sessions.json")))
            [ops] = subprocess.run(
                ["pgrep", "-P", str(running.process.pid), "-f", "role ops"], capture_output=True, check=True
            ).stdout.split()
            os.kill(int(ops), signal.SIGKILL)
            seen: list[httpx2.Response] = []
            running.eventually(lambda: [*map(seen.append, [person.get("/console/")])] and seen[-1].status_code == 200)
            meanwhile = [one for one in seen if one.status_code != 200]
            assert all(one.status_code == 503 and "http-equiv" in one.text for one in meanwhile)
