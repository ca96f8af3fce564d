"""Who gets into the console, and what a page on another origin can do: nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from bedplate.console.access.links import Links
from bedplate.console.access.sessions import Session, Sessions
from bedplate.problems import RefusedError
from tests.unit.console.site import LISTED, SAME, TOKENS, a_site, form_token, send, sign_in


async def test_a_stranger_is_asked_to_sign_in_and_comes_back_to_the_page_he_wanted() -> None:
    async with a_site() as site:
        answer = await site.client.get("/console/logs?level=ERROR")
        assert answer.status_code == 303
        assert answer.headers["location"] == "/console/sign-in?next=%2Flogs%3Flevel%3DERROR"
        form = await site.client.get(answer.headers["location"])
        assert 'value="/logs?level=ERROR"' in form.text
        entered = await site.client.post(
            "/console/sign-in", data={"token": TOKENS["viewer"], "next": "/logs?level=ERROR"}, headers=SAME
        )
        assert entered.headers["location"] == "/console/logs?level=ERROR"


@pytest.mark.parametrize("elsewhere", ["//evil.example", "https://evil.example", "/\\evil.example", "evil", "/a\nb"])
async def test_signing_in_leads_nowhere_else(elsewhere: str) -> None:
    async with a_site() as site:
        entered = await site.client.post(
            "/console/sign-in", data={"token": TOKENS["viewer"], "next": elsewhere}, headers=SAME
        )
        assert entered.headers["location"] == "/console/"


async def test_a_token_opens_a_session_whose_cookie_no_script_and_no_other_site_can_use() -> None:
    async with a_site() as site:
        cookie = (await sign_in(site)).headers["set-cookie"]
        assert {"HttpOnly", "SameSite=Strict", "Secure", "Path=/console"} <= set(cookie.split("; "))
        assert TOKENS["viewer"] not in cookie
        page = await site.client.get("/console")
        assert page.status_code == 200
        assert "viewer" in page.text


async def test_wrong_tokens_are_refused_and_throttled() -> None:
    async with a_site(auth={"tokens": f"v:viewer:{TOKENS['viewer']}", "failures": 3}) as site:
        answers = [
            await site.client.post("/console/sign-in", data={"token": f"wrong-{number}"}, headers=SAME)
            for number in range(5)
        ]
        assert [answer.status_code for answer in answers] == [401, 401, 401, 429, 429]
        assert int(answers[-1].headers["retry-after"]) > 0
        assert await site.value("bedplate_console_sign_ins_total", way="token", outcome="refused") == 3
        assert "wrong-0" not in answers[0].text


async def test_a_scrapers_token_opens_nothing() -> None:
    async with a_site() as site:
        answer = await site.client.post("/console/sign-in", data={"token": TOKENS["metrics"]}, headers=SAME)
        assert answer.status_code == 403
        bearer = {"authorization": f"Bearer {TOKENS['metrics']}"}
        assert (await site.client.get("/console", headers=bearer)).status_code == 403


async def test_programs_may_carry_a_token_instead_of_a_session() -> None:
    async with a_site() as site:
        bearer = {"authorization": f"Bearer {TOKENS['viewer']}"}
        answer = await site.client.get("/console", headers=bearer)
        assert answer.status_code == 200
        assert "set-cookie" not in answer.headers
        assert (await site.client.get("/console", headers={"authorization": "Bearer nope"})).status_code == 401


async def test_a_revoked_token_ends_its_sessions() -> None:
    async with a_site() as site:
        await sign_in(site)
        site.service.builtins.auth.replace(())
        assert (await site.client.get("/console")).status_code == 303


async def test_signing_out_ends_the_session_everywhere() -> None:
    async with a_site() as site:
        await sign_in(site)
        cookie = dict(site.client.cookies)
        answer = await send(site, "/console/sign-out")
        assert answer.headers["location"] == "/console/sign-in"
        site.client.cookies.update(cookie)
        assert (await site.client.get("/console")).status_code == 303


async def test_sessions_end_when_idle_and_when_old() -> None:
    async with a_site(console={"idle": 600, "longest": 1500}) as site:
        await sign_in(site)
        await site.clock.advance(599)
        assert (await site.client.get("/console")).status_code == 200
        await site.clock.advance(599)
        assert (await site.client.get("/console")).status_code == 200
        await site.clock.advance(599)
        assert (await site.client.get("/console")).status_code == 303, "too old, although it was used"
        await sign_in(site)
        await site.clock.advance(601)
        assert (await site.client.get("/console")).status_code == 303, "idle"


def test_sessions_are_bounded_and_the_one_idle_longest_goes() -> None:
    now = [0.0]
    sessions = Sessions(idle=100, longest=1000, limit=2, monotonic=lambda: now[0])
    first, second = (sessions.open({"shop": Session(name, "viewer", "token", 0.0)}) for name in ("a", "b"))
    assert sessions.find(first, "shop") is not None
    third = sessions.open({"shop": Session("c", "viewer", "token", 0.0)})
    assert [sessions.find(one, "shop") is not None for one in (first, second, third)] == [True, False, True]
    now[0] = 101.0
    assert len(sessions) == 0


def test_a_forms_token_belongs_to_one_session_and_never_looks_the_same() -> None:
    one, other = (Session(name, "viewer", "token", 0.0) for name in ("a", "b"))
    tokens = {one.form_token() for _ in range(20)}
    assert len(tokens) == 20
    assert all(one.owns(token) and not other.owns(token) for token in tokens)
    assert not one.owns("") and not one.owns("zz") and not one.owns("00" * 32)


def test_a_link_is_good_once_and_for_some_time() -> None:
    now = [0.0]
    links = Links(expires=600, monotonic=lambda: now[0], limit=2)
    key = links.make()
    assert links.take(key) and not links.take(key)
    late = links.make()
    now[0] = 600.0
    assert not links.take(late)
    oldest, *others = (links.make() for _ in range(3))
    assert not links.take(oldest)
    assert all(map(links.take, others))


async def test_the_link_of_a_development_service_signs_in_once() -> None:
    async with a_site(environment="development") as site:
        site.service.addresses = ("https://localhost",)
        link = site.service.builtins.console.new_link()
        assert site.links == [link]  # type: ignore[attr-defined]
        assert (await site.client.head(link)).status_code == 404, "what only looks ahead must not use it up"
        entered = await site.client.get(link)
        assert (entered.status_code, entered.headers["location"]) == (303, "/console/")
        assert "Secure" not in entered.headers["set-cookie"]
        page = await site.client.get("/console")
        assert "development" in page.text and "admin" in page.text
        site.client.cookies.clear()
        assert (await site.client.get(link)).status_code == 401


async def test_a_machine_of_a_developer_does_not_open_the_console_by_itself() -> None:
    async with a_site(environment="development") as site:
        assert (await site.client.get("/monitoring/components")).status_code == 200
        assert (await site.client.get("/console")).status_code == 303


async def test_no_link_lets_anybody_in_elsewhere() -> None:
    async with a_site() as site:
        key = site.service.builtins.console.site.access.links.make()
        assert (await site.client.get(f"/console/enter?key={key}")).status_code == 404
        assert (await site.client.post("/console/link", headers=SAME)).status_code == 404
        assert site.links == []  # type: ignore[attr-defined]


async def test_whoever_is_at_the_machine_can_have_a_new_link_written_and_not_too_often() -> None:
    async with a_site(environment="development") as site:
        answers = [await site.client.post("/console/link", headers=SAME) for _ in range(8)]
        assert [answer.status_code for answer in answers] == [200] * 6 + [429] * 2
        assert len(site.links) == 6  # type: ignore[attr-defined]
        assert site.links[0].partition("key=")[2] not in answers[0].text  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    "hostile",
    [
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
        {"origin": "https://evil.example"},
        {"origin": "null"},
    ],
)
async def test_another_origin_can_do_nothing(hostile: dict[str, str]) -> None:
    async with a_site() as site:
        await sign_in(site, "admin")
        token = form_token((await site.client.get("/console")).text)
        for path in ("/sign-out", "/theme", "/sign-in", "/nowhere"):
            answer = await site.client.post(f"/console{path}", data={"form_token": token}, headers=hostile)
            assert answer.status_code == 403, path
            assert "set-cookie" not in answer.headers
        assert (await site.client.get("/console")).status_code == 200


async def test_a_form_that_was_not_made_for_the_session_does_nothing() -> None:
    async with a_site() as site:
        await sign_in(site)
        for token in ("", "00" * 32, "not hex"):
            answer = await site.client.post("/console/sign-out", data={"form_token": token}, headers=SAME)
            assert answer.status_code == 403
        assert (await site.client.get("/console")).status_code == 200


async def test_a_link_from_a_chat_opens_the_page_although_the_cookie_was_kept_back() -> None:
    async with a_site() as site:
        clicked = {"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate"}
        answer = await site.client.get("/console/alerts?x=1", headers=clicked)
        assert answer.status_code == 200
        assert '<meta http-equiv="refresh" content="0; url=/console/alerts?x=1">' in answer.text


async def test_roles_open_pages_and_a_viewer_does_not_see_what_he_may_not() -> None:
    async with a_site() as site:
        await sign_in(site, "viewer")
        assert 'href="/console/settings"' not in (await site.client.get("/console")).text
        await sign_in(site, "operator")
        assert 'href="/console/settings"' in (await site.client.get("/console")).text


def test_half_a_provider_is_refused() -> None:
    from bedplate import Service
    from bedplate.testing import settings

    service = Service("shop", None, settings=settings(console={"oidc": {"issuer": "https://id.example"}}))
    with pytest.raises(RefusedError, match="client id or secret"):
        service.check()


@pytest.mark.parametrize("removed", [False, True])
async def test_people_stay_signed_in_over_a_restart_unless_their_token_was_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, removed: bool
) -> None:
    monkeypatch.setenv("STATE_DIRECTORY", str(tmp_path))
    kept: dict[str, Any] = {"environment": "staging", "console": {"outlast": True}}
    async with a_site(**kept) as site:
        await sign_in(site, "operator")
        token = form_token((await site.client.get("/console")).text)
        cookies = {"cookie": "; ".join(f"{name}={value}" for name, value in site.client.cookies.items())}
    [file] = tmp_path.glob("*.sessions.json")
    assert file.stat().st_mode & 0o777 == 0o600
    written = file.read_text()
    assert TOKENS["operator"] not in written and all(value not in written for value in cookies.values())
    tokens = LISTED if not removed else f"admin:admin:{TOKENS['admin']}"
    async with a_site(**kept, auth={"tokens": tokens}) as site:
        answer = await site.client.get("/console", headers=cookies)
        assert answer.status_code == (303 if removed else 200)
        if not removed:
            assert "operator" in answer.text
            form = {"form_token": token, "theme": "dark"}
            changed = await site.client.post("/console/theme", data=form, headers={**SAME, **cookies})
            assert changed.status_code == 303, "a form that was open before the restart is still good"
            out = {"form_token": token}
            answer = await site.client.post("/console/sign-out", data=out, headers={**SAME, **cookies})
            assert answer.status_code == 303
    async with a_site(**kept) as site:
        assert (await site.client.get("/console", headers=cookies)).status_code == 303, "it had ended"


async def test_a_file_of_sessions_that_is_none_keeps_nobody_from_signing_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STATE_DIRECTORY", str(tmp_path))
    (tmp_path / "bedplate_shop.sessions.json").write_text('[{"key": 1}]')
    async with a_site(environment="staging", console={"outlast": True}) as site:
        await sign_in(site)
        assert (await site.client.get("/console")).status_code == 200
