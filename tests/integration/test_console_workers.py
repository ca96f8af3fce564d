"""The console of a service with several workers: one process serves it, whichever worker is asked."""

from __future__ import annotations

import re
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
        with httpx2.Client(base_url=base, headers=headers, timeout=10) as person:
            running.eventually(lambda: person.get("/console").status_code == 303)
            assert person.get(link).headers["location"] == "/console/"
            for _ in range(6):
                # A new connection each time, so that the kernel chooses among the workers.
                page = person.get("/console", headers={"connection": "close"})
                assert page.status_code == 200 and "<h1>shop is " in page.text
            assert person.get("/boom").status_code == 500
            running.eventually(lambda: "RuntimeError" in person.get("/console/errors").text)
            assert "4111" not in person.get("/console/errors").text
            with person.stream("GET", "/console/live?topic=home") as stream:
                assert stream.headers["content-type"].startswith("text/event-stream")
                text = ""
                for piece in stream.iter_text():
                    text += piece
                    if '"topic":"home"' in text:
                        break
            style = re.search(r'/console/static/[^"]+console\.css', page.text)
            assert style is not None and person.get(style[0]).status_code == 200
