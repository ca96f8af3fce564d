from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr, ValidationError

from bedplate.monitor.auth import AuthSettings, Identity, mint
from bedplate.monitor.auth.tokens import TokenTable, allows, parse_tokens
from bedplate.problems import DeclarationError

GRANTS = ("metrics", "viewer", "operator", "admin")


def test_entries_are_separated_by_commas_spaces_and_lines_and_comments_are_left_out() -> None:
    text = "grafana:viewer:one, scraper:metrics:two\n# nobody:admin:three\nalice:admin:f:o:u:r"

    tokens = parse_tokens(text)

    assert [(token.name, token.role) for token in tokens] == [
        ("grafana", "viewer"),
        ("scraper", "metrics"),
        ("alice", "admin"),
    ]
    found = TokenTable(tokens).find("f:o:u:r")
    assert found is not None
    assert found.name == "alice"


def test_lists_secrets_and_files_with_several_entries_are_read_alike() -> None:
    entries = ["a:viewer:x", SecretStr("b:viewer:y\nc:viewer:z")]
    assert [token.name for token in parse_tokens(entries)] == ["a", "b", "c"]


def test_a_hash_stands_for_its_token() -> None:
    digest = hashlib.sha256(b"s3cret").hexdigest()
    table = TokenTable(parse_tokens(f"ci:operator:sha256:{digest}"))
    assert table.find("s3cret") is not None
    assert table.find(digest) is None
    assert table.find(f"sha256:{digest}") is None


def test_a_minted_token_is_found_by_its_entry() -> None:
    token, entry = mint("alice", "admin")
    found = TokenTable(parse_tokens(entry)).find(token)
    assert found is not None
    assert (found.name, found.role, found.short) == ("alice", "admin", False)
    assert token not in entry


@pytest.mark.parametrize(
    "entry",
    ["hunter2hunter2", "a:hunter2hunter2", "a:root:hunter2hunter2", "a b:viewer:", "a:viewer:sha256:hunter2hunter2"],
)
def test_a_malformed_entry_is_refused_without_repeating_it(entry: str) -> None:
    with pytest.raises(DeclarationError) as caught:
        parse_tokens([entry])
    assert "hunter2" not in str(caught.value)
    assert caught.value.mend


def test_settings_never_show_a_token_not_even_when_it_is_wrong() -> None:
    settings = AuthSettings(tokens="alice:admin:correct-horse-battery")  # type: ignore[arg-type]
    for text in (repr(settings), str(settings), settings.model_dump_json(), repr(settings.tokens)):
        assert "correct-horse" not in text
        assert settings.tokens[0].digest.hex() not in text
    with pytest.raises(ValidationError) as caught:
        AuthSettings(tokens="alice:correct-horse-battery")  # type: ignore[arg-type]
    assert "correct-horse" not in str(caught.value)


@given(st.sampled_from(GRANTS), st.sampled_from(GRANTS))
def test_a_grant_allows_itself_and_what_stands_before_it(held: str, needed: str) -> None:
    assert allows(held, needed) is (GRANTS.index(held) >= GRANTS.index(needed))  # type: ignore[arg-type]


@given(st.text(max_size=40))
def test_any_text_can_be_presented_and_only_the_token_is_found(presented: str) -> None:
    table = TokenTable(parse_tokens(["alice:admin:correct-horse"]))
    assert (table.find(presented) is not None) is (presented == "correct-horse")


def test_a_scraper_is_no_actor() -> None:
    assert Identity("prometheus", "metrics").actor is None
    actor = Identity("alice", "operator").actor
    assert actor is not None
    assert (actor.name, actor.role) == ("alice", "operator")
