from __future__ import annotations

from pathlib import Path

import pytest

from bedplate.monitor.auth import AuthSettings
from bedplate.settings import Settings, SettingsError
from bedplate.settings.layers import Sources

TOKEN = "viewer-token-123456"


def read(tmp_path: Path, **environ: str) -> AuthSettings:
    sources = Sources(environ=environ, directory=tmp_path, secrets=tmp_path / "secrets")
    return Settings(_sources=sources).section(AuthSettings, "auth")


def test_tokens_come_from_the_environment(tmp_path: Path) -> None:
    settings = read(tmp_path, BEDPLATE_TOKENS=f"vera:viewer:{TOKEN}, otto:operator:operator-token-1234")
    assert [token.name for token in settings.tokens] == ["vera", "otto"]


def test_tokens_come_from_a_file_with_one_a_line(tmp_path: Path) -> None:
    file = tmp_path / "tokens"
    file.write_text(f"# people\nvera:viewer:{TOKEN}\notto:operator:operator-token-1234\n")
    file.chmod(0o600)
    assert [token.name for token in read(tmp_path, BEDPLATE_TOKENS_FILE=str(file)).tokens] == ["vera", "otto"]


def test_a_malformed_token_is_a_fault_of_the_settings_that_does_not_show_it(tmp_path: Path) -> None:
    with pytest.raises(SettingsError) as caught:
        read(tmp_path, BEDPLATE_TOKENS=f"vera:{TOKEN}")
    assert "BEDPLATE_TOKENS" in str(caught.value)
    assert TOKEN not in str(caught.value)


def test_tokens_are_masked_wherever_settings_are_shown(tmp_path: Path) -> None:
    from bedplate.settings import masked

    sources = Sources(environ={"BEDPLATE_TOKENS": f"vera:viewer:{TOKEN}"}, directory=tmp_path, secrets=tmp_path)
    settings = Settings(_sources=sources)
    auth = settings.section(AuthSettings, "auth")
    assert TOKEN not in str(masked(settings))
    assert auth.tokens[0].digest.hex() not in str(masked(settings))
