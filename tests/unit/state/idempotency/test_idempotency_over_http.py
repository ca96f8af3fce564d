"""Requests with an Idempotency-Key, as clients meet them."""

from __future__ import annotations

import asyncio

import pytest
from starlette.types import Scope

from bedplate.problems import BedplateError
from bedplate.state.answering import Answering

KEY = '"8e03978e-40d5-43dd-bc93-6894a57f9324"'


async def test_a_request_that_is_repeated_is_executed_once_and_answered_alike(one) -> None:
    first = await one.post("/orders", KEY, json={"a": 1})
    second = await one.post("/orders", KEY, json={"a": 1})
    assert one.shop.done["orders"] == 1
    assert (first.status_code, first.json()) == (second.status_code, second.json()) == (201, {"order": 1})
    assert second.headers["location"] == first.headers["location"] == "/orders/1"
    assert second.headers["content-type"] == "application/json"
    assert second.headers["idempotency-replayed"] == "true"
    assert "idempotency-replayed" not in first.headers
    assert await one.count("executed") == await one.count("replayed") == 1
    counted = "http_server_request_duration_seconds_count"
    assert await one.harness.value(counted, http_route="/orders", http_response_status_code="201") == 2


async def test_an_answer_brings_neither_cookies_nor_what_is_not_to_be_kept_again(one) -> None:
    first = await one.post("/orders", KEY)
    second = await one.post("/orders", KEY)
    assert "set-cookie" in first.headers
    assert "set-cookie" not in second.headers
    assert "x-served-by" not in second.headers


async def test_further_headers_are_kept_where_asked_for(world) -> None:
    one = await world.instance(headers=("X-Served-By",))
    await one.post("/orders", KEY)
    assert (await one.post("/orders", KEY)).headers["x-served-by"] == "one"


async def test_a_key_with_or_without_quotes_is_the_same(one) -> None:
    await one.post("/orders", KEY)
    assert (await one.post("/orders", KEY.strip('"'))).headers["idempotency-replayed"] == "true"


async def test_another_request_with_the_key_is_refused(one) -> None:
    await one.post("/orders", KEY, json={"a": 1})
    for path, body in (("/orders", {"a": 2}), ("/orders?b=1", {"a": 1}), ("/needed", {"a": 1})):
        answer = await one.post(path, KEY, json=body)
        assert answer.status_code == 422
        assert answer.headers["content-type"] == "application/problem+json"
        assert "already used" in answer.json()["title"]
    assert one.shop.done == {"orders": 1}


async def test_keys_belong_to_whoever_calls(one) -> None:
    mine = await one.post("/orders", KEY, user="ada")
    theirs = await one.post("/orders", KEY, user="bob")
    assert (mine.json(), theirs.json()) == ({"order": 1}, {"order": 2})
    assert (await one.post("/orders", KEY, user="ada")).json() == {"order": 1}


async def test_while_a_request_is_being_executed_its_repetition_is_a_conflict(world) -> None:
    one, other = await world.instance(), await world.instance()
    world.shop.door.clear()
    first = asyncio.create_task(one.post("/orders", KEY))
    await world.shop.inside.wait()
    answer = await other.post("/orders", KEY)
    assert answer.status_code == 409
    assert answer.headers["retry-after"]
    world.shop.door.set()
    assert (await first).status_code == 201
    assert (await other.post("/orders", KEY)).json() == {"order": 1}
    assert world.shop.done["orders"] == 1


async def test_of_many_at_once_one_is_executed(world) -> None:
    one, other = await world.instance(), await world.instance()
    answers = await asyncio.gather(*((one, other)[number % 2].post("/orders", KEY) for number in range(20)))
    assert world.shop.done["orders"] == 1
    assert sorted({answer.status_code for answer in answers}) in ([201], [201, 409])


@pytest.mark.parametrize(
    "key", ["", '""', '"unclosed', 'a"b', "x" * 256, '"a", "b"', "a,b", "a;b=1", '"tab\t"', "umläut"]
)
async def test_what_is_no_key_is_refused(one, key) -> None:
    headers = {"authorization": "Bearer ada", "idempotency-key": key.encode("latin-1")}
    answer = await one.client.post("/orders", headers=headers)
    assert answer.status_code == 400
    assert one.shop.done["orders"] == 0


async def test_two_keys_are_none(one) -> None:
    headers = [("idempotency-key", "a" * 20), ("idempotency-key", "b" * 20)]
    assert (await one.client.post("/orders", headers=headers)).status_code == 400


async def test_a_key_is_required_where_somebody_says_so(world) -> None:
    one = await world.instance(required=("/orders",))
    assert (await one.post("/orders")).status_code == 400
    assert (await one.post("/needed")).status_code == 400
    assert "Idempotency-Key" in (await one.post("/needed")).json()["detail"]
    assert (await one.post("/needed", KEY)).status_code == 200
    assert (await one.client.get("/orders")).status_code == 200
    assert world.shop.done["orders"] == 0


async def test_elsewhere_a_request_without_a_key_is_served_and_asks_nothing_of_the_store(one) -> None:
    one.link.asked.clear()
    assert (await one.post("/orders")).status_code == 201
    assert (await one.client.get("/orders", headers={"idempotency-key": KEY})).status_code == 200
    assert one.link.asked == []


async def test_without_credentials_a_key_that_can_be_guessed_is_refused(one) -> None:
    assert (await one.post("/orders", '"1"', user="")).status_code == 400
    assert (await one.post("/orders", '"1"', user="ada")).status_code == 201
    assert (await one.post("/orders", KEY, user="")).status_code == 201


@pytest.mark.parametrize(("status", "is_kept"), [(400, True), (404, True), (422, True), (401, False), (429, False)])
async def test_errors_of_the_request_are_kept_and_those_of_the_moment_are_not(one, status, is_kept) -> None:
    one.shop.status = status
    assert (await one.post("/orders", KEY)).status_code == status
    one.shop.status = 201
    again = await one.post("/orders", KEY)
    assert again.status_code == (status if is_kept else 201)
    assert one.shop.done["orders"] == (1 if is_kept else 2)


async def test_what_failed_on_our_side_is_executed_again(one) -> None:
    for number in (1, 2):
        assert (await one.post("/crash", KEY)).status_code == 500
        assert one.shop.done["crashes"] == number
    one.shop.status = 503
    await one.post("/orders", '"another"')
    one.shop.status = 201
    assert (await one.post("/orders", '"another"')).status_code == 201
    assert one.shop.attempts == [1, 2]


async def test_a_stream_is_kept_up_to_a_size(world) -> None:
    one = await world.instance(largest=3000)
    first = await one.post("/stream/3", KEY)
    second = await one.post("/stream/3", KEY)
    assert first.content == second.content
    assert len(second.content) == 3000
    assert second.headers["idempotency-replayed"] == "true"
    assert one.shop.done["streams"] == 1


async def test_what_is_too_large_to_be_kept_is_given_whole_and_not_executed_again(world) -> None:
    one = await world.instance(largest=2999)
    assert len((await one.post("/stream/3", KEY)).content) == 3000
    again = await one.post("/stream/3", KEY)
    assert again.status_code == 409
    assert "not kept" in again.json()["detail"]
    assert one.shop.done["streams"] == 1
    assert await one.incidents("unkept") == 1


async def test_an_answer_that_broke_off_is_not_executed_again(one) -> None:
    with pytest.raises(Exception):  # noqa: B017 - what the client sees of it is its server's affair
        (await one.post("/broken", KEY)).raise_for_status()
        raise RuntimeError
    assert (await one.post("/broken", KEY)).status_code == 409
    assert one.shop.done["broken"] == 1


async def test_a_request_that_is_too_large_is_refused(world) -> None:
    one = await world.instance(largest_request=10)
    assert (await one.post("/orders", KEY, content=b"x" * 11)).status_code == 413
    assert (await one.post("/orders", content=b"x" * 11)).status_code == 201


async def _asked(one, path: str, *, body: bool = True, spec: str = "2.4") -> list[dict]:
    """Ask as a server would whose client goes away at once; one of an older ``spec`` is told so while it answers."""
    sent: list[dict] = []
    messages = [{"type": "http.request", "body": b"", "more_body": not body}]

    async def receive() -> dict:
        if messages:
            return messages.pop()
        return {"type": "http.disconnect"}

    async def send(message) -> None:
        sent.append(message)
        if spec == "2.4":
            raise OSError("the client has gone")

    scope = {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": spec},
        "http_version": "1.1",
        "scheme": "http",
        "method": "POST",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "root_path": "",
        "headers": [(b"host", b"shop"), (b"authorization", b"Bearer ada"), (b"idempotency-key", KEY.encode())],
        "client": ("127.0.0.1", 1),
        "server": ("shop", 80),
    }
    await one.harness.service(scope, receive, send)
    return sent


async def test_who_went_away_in_the_middle_finds_the_answer_when_he_is_back(one) -> None:
    await _asked(one, "/orders")
    again = await one.post("/orders", KEY)
    assert again.json() == {"order": 1}
    assert again.headers["idempotency-replayed"] == "true"
    assert one.shop.done == {"orders": 1}


@pytest.mark.parametrize("spec", ["2.0", "2.4"])
async def test_a_stream_is_recorded_to_its_end_although_the_client_went_away(one, spec) -> None:
    one.shop.door.clear()
    asked = asyncio.create_task(_asked(one, "/stream/3", spec=spec))
    await one.harness.eventually(lambda: one.shop.done["streams"])
    one.shop.door.set()
    await asked
    assert one.shop.done["ended"] == 1
    assert len((await one.post("/stream/3", KEY)).content) == 3000


async def test_the_application_hears_of_it_when_what_it_answers_is_not_kept(world) -> None:
    one = await world.instance(largest=10)
    await _asked(one, "/stream/3", spec="2.0")
    assert one.shop.done == {"streams": 1}  # begun, and not ended
    assert (await one.post("/stream/3", KEY)).status_code == 409


async def test_who_goes_away_before_he_has_said_what_he_wants_has_asked_for_nothing(one) -> None:
    assert await _asked(one, "/orders", body=False) == []
    assert one.shop.done == {}
    assert (await one.post("/orders", KEY)).status_code == 201


async def test_keys_belong_to_the_user_of_the_session(world) -> None:
    from bedplate.state.sessions import Sessions

    sessions = Sessions(world.store, secret="a secret for tests that is long enough to be one")
    one = await world.instance(with_components=[sessions])
    answers = []
    for user in ("ada", "bob", "ada"):
        token, _ = await sessions.open(user)  # a new session, as after signing in again
        headers = {"idempotency-key": '"k"', "cookie": f"shop-session={token}"}
        answers.append((await one.client.post("/orders", headers=headers)).json()["order"])
    assert answers == [1, 2, 1]


class _Stranger(BedplateError, Answering):
    status = 401
    answer = "Sign in."

    def __init__(self) -> None:
        super().__init__("Nobody that is known.")


async def test_who_may_not_call_any_more_gets_no_answer_of_before_and_hears_so_first(world) -> None:
    known = {"Bearer ada"}

    async def caller(scope: Scope) -> str:
        name = dict(scope["headers"]).get(b"authorization", b"").decode()
        if name not in known:
            raise _Stranger
        return name

    one = await world.instance(caller=caller, required=("/needed",))
    assert (await one.post("/orders", KEY)).status_code == 201
    assert (await one.post("/orders", KEY)).headers["idempotency-replayed"] == "true"
    known.clear()
    for path, key in (("/orders", KEY), ("/orders", "short"), ("/orders", '"unclosed'), ("/needed", None)):
        answer = await one.post(path, key)
        assert answer.status_code == 401 and answer.headers["content-type"] == "application/problem+json"
        assert answer.json()["detail"] == "Sign in." and "idempotency-replayed" not in answer.headers
    assert one.shop.done == {"orders": 1}
