"""`convergence keys`, as a person uses it."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from convergence_assets.cli.main import app
from convergence_assets.control.keys import Keys
from convergence_assets.control.store import ControlStore
from convergence_assets.settings import Settings
from tests.api.service import tenants_at


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("CONVERGENCE_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("CONVERGENCE_TENANTS", str(tenants_at(tmp_path / "tenants")))
    monkeypatch.delenv("DAGSTER_HOME", raising=False)
    return tmp_path


def keys(*words: str) -> Result:
    return CliRunner().invoke(app, ["keys", *words], terminal_width=200)


def test_a_key_from_its_making_to_its_end(home: Path) -> None:
    assert "there are no keys" in keys("list").stdout
    created = keys("create", "acme", "--scope", "read", "--days", "30", "--by", "anna")
    assert created.exit_code == 0, created.output
    secret, *rest = created.stdout.splitlines()
    assert rest == [], "the secret alone, to be put away by a script"
    assert "is not shown again" in created.stderr
    found = Keys(ControlStore.open(Settings.from_env()))
    key = found.verify(secret)
    assert key is not None
    assert (key.scopes, key.created_by) == (("read",), "anna")
    listed = keys("list", "acme").stdout
    assert listed.startswith(f"{key.key_id}  acme  active  cvg_{key.prefix}_...  read  expires ")
    assert secret not in listed
    assert keys("list", "globex_zzsecret").stdout.startswith("there are no keys")
    extended = json.loads(keys("extend", key.key_id, "--days", "60", "--json").stdout)
    assert extended["expires_at"] > key.expires_at.isoformat()
    revoked = keys("revoke", key.key_id)
    assert revoked.stdout == f"{key.key_id} of tenant acme: revoked\n"
    assert found.verify(secret) is None
    again = keys("extend", key.key_id)
    assert again.exit_code == 1
    assert "was revoked; make another one. Next: convergence keys create" in again.stderr
    assert json.loads(keys("list", "--json").stdout)["state"] == "revoked"


def test_mistakes_are_a_line(home: Path) -> None:
    for words, message, code in (
        (("create", "acne"), "did you mean 'acme'?", 2),
        (("create", "acme", "--scope", "everything"), "scopes are among read, run", 2),
        (("create", "acme", "--days", "0"), "1 to 3650 days", 2),
        (("extend", "key_0"), "there is no key key_0. Next: convergence keys list", 1),
        (("revoke", "key_0"), "there is no key key_0. Next: convergence keys list", 1),
    ):
        done = keys(*words)
        shown = " ".join(done.output.replace("│", " ").split())
        assert (done.exit_code, message in shown) == (code, True), done.output
        assert "Traceback" not in done.output


@pytest.mark.parametrize("command", ["create", "list", "extend", "revoke"])
def test_help_has_an_example(command: str) -> None:
    assert f"Example: convergence keys {command}" in keys(command, "--help").stdout
