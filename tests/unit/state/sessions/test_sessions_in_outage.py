"""Sessions while their store is away, and after it has come back, perhaps with less than it had."""

from __future__ import annotations

from tests.linked import restore, snapshot


async def test_a_session_that_was_seen_serves_reads_for_a_while_and_an_unknown_one_gets_503(world) -> None:
    one = await world.instance(known=20)
    stranger, _ = await one.sessions.open("bob")
    async with one.browser() as browser, one.browser(headers={"cookie": f"__Host-shop-session={stranger}"}) as other:
        await browser.post("/sign-in/ada")
        await browser.get("/me")
        one.link.cut()
        answer = await browser.get("/me")
        assert answer.json() == {"user": "ada", "values": {}, "known": True}
        refused = await other.get("/me")
        assert refused.status_code == 503
        assert refused.headers["retry-after"]
        assert refused.headers["content-type"] == "application/problem+json"
        assert "set-cookie" not in refused.headers  # nobody is signed out by an outage
        await world.clock.advance(21)
        assert (await browser.get("/me")).status_code == 503
        one.link.heal()
        assert (await browser.get("/me")).json()["known"] is False
        assert (await other.get("/me")).json()["user"] == "bob"


async def test_known_reads_count_from_when_the_store_was_lost_not_from_when_the_session_was_read(world) -> None:
    one = await world.instance(known=20, fresh=100)
    async with one.browser() as browser:
        await browser.post("/sign-in/ada")
        await browser.get("/me")
        await world.clock.advance(30)
        one.link.cut()
        await world.clock.advance(15)
        assert (await browser.get("/me")).status_code == 200


async def test_a_store_that_hangs_is_as_one_that_is_away(one) -> None:
    token, _ = await one.sessions.open("bob")
    async with one.browser() as browser:
        await browser.post("/sign-in/ada")
        await browser.get("/me")
        one.link.hang()
        assert (await browser.get("/me")).json()["user"] == "ada"
        await one.clock.advance(31)  # by now it would have been read again
        assert (await browser.get("/me")).json() == {"user": "ada", "values": {}, "known": True}
        other = await browser.get("/me", headers={"cookie": f"__Host-shop-session={token}"})
        assert other.status_code == 503


async def test_who_has_no_cookie_is_nobody_in_an_outage_too(one) -> None:
    one.link.cut()
    async with one.browser() as browser:
        assert (await browser.get("/anybody")).json() == {"user": None, "values": {}}
        assert (await browser.get("/me")).status_code == 401


async def test_nothing_is_changed_in_an_outage(one) -> None:
    async with one.browser() as browser:
        await browser.post("/sign-in/ada")
        await browser.get("/me")
        one.link.cut()
        for method, path in (("PUT", "/values/a"), ("POST", "/sign-in/ada"), ("POST", "/rotate")):
            answer = await browser.request(method, path, json=1)
            assert answer.status_code == 503, path
            assert answer.headers["retry-after"]
            assert "set-cookie" not in answer.headers
        one.link.heal()
        assert (await browser.get("/me")).json()["values"] == {}


async def test_a_write_that_fails_after_the_handler_ran_is_a_503_and_no_answer_of_the_handler(one) -> None:
    async with one.browser() as browser:
        await browser.post("/sign-in/ada")
        await browser.get("/me")

        async def lose(operation) -> None:
            if operation.name == "sessions_save":
                one.link.cut()

        one.link.before = lose
        answer = await browser.put("/values/a", json=1)
        assert answer.status_code == 503
        assert answer.headers["content-type"] == "application/problem+json"


async def test_a_session_ended_in_an_outage_is_refused_ends_here_at_once_and_everywhere_after(world) -> None:
    one, other = await world.instance(), await world.instance()
    async with one.browser() as browser:
        await browser.post("/sign-in/ada")
        await browser.get("/me")
        token = browser.cookies["__Host-shop-session"]
        assert await other.sessions.find(token) is not None
        one.link.cut()
        assert (await browser.post("/sign-out")).status_code == 503
        assert (await browser.get("/me")).status_code == 503  # not 200: here it has ended
        assert await other.sessions.find(token) is not None  # the other was never told
        assert one.sessions.overview()["revocationsWaiting"] == 1
        one.link.heal()
        assert await one.sessions.find(token) is None  # at once, told or not
        await one.harness.eventually(lambda: one.sessions.overview()["revocationsWaiting"] == 0)
        assert await other.sessions.find(token) is None
        assert (await browser.get("/me")).status_code == 401


async def test_an_unknown_session_can_be_given_up_in_an_outage_too(world) -> None:
    one = await world.instance()
    token, _ = await one.sessions.open("ada")
    one.link.cut()
    async with one.browser(headers={"cookie": f"__Host-shop-session={token}"}) as browser:
        assert (await browser.post("/sign-out")).status_code == 503
        one.link.heal()
        await one.harness.eventually(lambda: one.sessions.overview()["revocationsWaiting"] == 0)
        assert (await browser.get("/me")).status_code == 401


async def test_all_sessions_ended_in_an_outage_end_when_it_is_over(world) -> None:
    one = await world.instance()
    tokens = [(await one.sessions.open("ada"))[0] for _ in range(2)]
    async with one.browser() as browser:
        await browser.post("/sign-in/ada")
        await browser.get("/me")
        one.link.cut()
        assert (await browser.post("/sign-out-everywhere")).status_code == 503
        one.link.heal()
        await one.harness.eventually(lambda: one.sessions.overview()["revocationsWaiting"] == 0)
        assert [await one.sessions.find(token) for token in tokens] == [None, None]
        await browser.post("/sign-in/ada")
        assert (await browser.get("/me")).status_code == 200


async def test_an_answer_that_got_lost_is_a_refusal_and_the_session_has_ended(one) -> None:
    token, _ = await one.sessions.open("ada")
    async with one.browser(headers={"cookie": f"__Host-shop-session={token}"}) as browser:
        await browser.get("/me")
        one.link.loses_replies = True
        assert (await browser.post("/sign-out")).status_code == 503
        one.link.loses_replies = False
        assert (await browser.get("/me")).status_code == 401


async def test_no_ended_session_comes_back_with_an_old_copy_of_the_store(world) -> None:
    one, other = await world.instance(), await world.instance()
    single, _ = await one.sessions.open("ada")
    every = [(await one.sessions.open("bob"))[0] for _ in range(3)]
    stays, _ = await one.sessions.open("eve")
    copied = await snapshot(world.store)
    await one.sessions.revoke((await one.sessions.find(single)).id)
    await one.sessions.revoke_all("bob")
    for link in (one.link, other.link):
        link.cut()
    await restore(world.store, copied)
    other.link.heal()  # it only heard of what the first one did
    await other.clock.advance(0.1)
    for token in (single, *every):
        assert await other.sessions.find(token) is None
    assert await other.sessions.find(stays) is not None
    # And the store has been told, so that an instance that knows nothing does not serve them either.
    fresh = await world.instance()
    for token in (single, *every):
        assert await fresh.sessions.find(token) is None
    again, _ = await fresh.sessions.open("bob")
    assert await other.sessions.find(again) is not None


async def test_nobody_comes_back_who_was_signed_out_with_everybody(world) -> None:
    one = await world.instance()
    token, _ = await one.sessions.open("ada")
    copied = await snapshot(world.store)
    await one.sessions.revoke_everyone()
    one.link.cut()
    await restore(world.store, copied)
    one.link.heal()
    await one.clock.advance(0.1)
    fresh = await world.instance()
    assert await fresh.sessions.find(token) is None
    assert await one.sessions.find(token) is None


async def test_a_service_that_starts_without_its_store_serves_and_recovers(world) -> None:
    one = await world.instance()
    token, _ = await one.sessions.open("ada")
    late = await world.instance(starts_cut=True)
    async with late.browser(headers={"cookie": f"__Host-shop-session={token}"}) as browser:
        assert (await browser.get("/public")).status_code == 200
        assert (await browser.get("/me")).status_code == 503
        late.link.heal()
        assert (await browser.get("/me")).status_code == 200


async def test_what_goes_on_is_measured_and_said(one) -> None:
    harness = one.harness
    async with one.browser() as browser:
        await browser.post("/sign-in/ada")
        await browser.get("/me")
        await browser.get("/me")
        one.link.cut()
        await browser.get("/me")
        await browser.post("/sign-out")
        await browser.get("/me")
    loads = {outcome: await harness.value("bedplate_sessions_loads_total", outcome=outcome) for outcome in OUTCOMES}
    assert loads == {"near": 1, "store": 1, "known": 1, "unknown": 0, "refused": 1}
    assert await harness.value("bedplate_sessions_up") == 0
    assert await harness.value("bedplate_sessions_revocations_waiting") == 1
    assert await harness.value("bedplate_sessions_writes_total", kind="revoke", outcome="refused") == 1
    view = next(view for view in harness.service.views if view.component is one.sessions)
    assert view.state == "degraded"
    assert "The store is away" in view.reason
    one.link.heal()
    await harness.eventually(lambda: one.sessions.overview()["revocationsWaiting"] == 0)
    view = next(view for view in harness.service.views if view.component is one.sessions)
    assert view.state == "running"


OUTCOMES = ("near", "store", "known", "unknown", "refused")
