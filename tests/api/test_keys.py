"""The life of a key, on both databases; and that its secret is nowhere but with its holder."""

import logging
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa

from convergence_assets.assets.warehouse_factory import open_warehouse
from convergence_assets.control import audit
from convergence_assets.control.keys import KeyRevoked, Keys
from convergence_assets.control.store import ControlStore
from convergence_assets.control.tables import ledger_rows, metadata
from convergence_assets.ledger.write import write_ledger
from tests.api.service import ADMIN_KEY, Service, expire, serving
from tests.assets.project import Project
from tests.control_stores import sqlite_store
from tests.postgres.postgres_server import POSTGRES
from tests.postgres.postgres_stores import postgres_store


@dataclass
class Safe:
    """Keys in a store whose clock the test moves."""

    url: str
    now: datetime = datetime(2026, 10, 1, 9, tzinfo=UTC)
    store: ControlStore = field(init=False)

    def __post_init__(self) -> None:
        self.store = ControlStore(sa.make_url(self.url), lambda: self.now)
        self.keys = Keys(self.store)

    def mirrored(self) -> list[dict[str, object]]:
        with self.store.read() as connection:
            return [dict(row._mapping) for row in connection.execute(sa.select(ledger_rows))]


@pytest.fixture(params=["sqlite", POSTGRES])
def safe(request: pytest.FixtureRequest, tmp_path: Path) -> Safe:
    if request.param == "sqlite":
        return Safe(sqlite_store(tmp_path / "control.db"))
    server = request.getfixturevalue("postgres")
    return Safe(postgres_store(server))


def test_a_key_is_known_by_its_secret_until_it_expires_is_extended_and_revoked(safe: Safe) -> None:
    key = safe.keys.create("acme", "anna", ["read"], days=30)
    assert key.secret.startswith("cvg_")
    assert len(key.secret) > 50
    found = safe.keys.verify(key.secret)
    assert found is not None
    assert (found.tenant_id, found.scopes, found.key_id) == ("acme", ("read",), key.key_id)
    safe.now += timedelta(days=30)
    assert safe.keys.check_secret(key.secret) == (None, "expired")
    extended = safe.keys.extend(key.key_id, "anna", days=5)
    assert extended is not None
    assert extended.expires_at == safe.now + timedelta(days=5)
    assert safe.keys.verify(key.secret) == extended
    assert safe.keys.extend(key.key_id, "anna", days=1) == extended, "never shorter than it is"
    assert safe.keys.revoke(key.key_id, "anna", tenant_id="globex") is None, "not this tenant's"
    revoked = safe.keys.revoke(key.key_id, "anna")
    assert revoked is not None
    assert safe.keys.check_secret(key.secret) == (None, "revoked")
    with pytest.raises(KeyRevoked, match="make another one"):
        safe.keys.extend(key.key_id, "anna")
    with safe.store.read() as connection:
        entries = [
            (n.entry.action, n.entry.subject, n.entry.tenant_id) for n in reversed(audit.recorded_entries(connection))
        ]
    assert entries == [(f"key.{done}", key.key_id, "acme") for done in ("create", "extend", "extend", "revoke")]


def test_nothing_but_the_whole_secret_opens(safe: Safe) -> None:
    key = safe.keys.create("acme", "anna")
    other = safe.keys.create("globex", "anna")
    _, prefix, rest = key.secret.split("_", 2)
    assert safe.keys.check_secret(f"cvg_{prefix}_{other.secret.split('_', 2)[2]}") == (None, "unknown")
    assert safe.keys.check_secret(f"cvg_0000000000_{rest}") == (None, "unknown")
    for wrong in ("", "cvg", f"cvg_{prefix}_", key.secret[:-1], key.secret + "x", f"xyz_{prefix}_{rest}", "é" * 50,
                  "cvg__", "\0", key.secret.upper(), "a" * 100_000):  # fmt: skip
        assert safe.keys.verify(wrong) is None, wrong[:60]
    assert safe.keys.verify(key.secret) is not None


def test_use_is_noted_at_most_once_a_minute_and_mirrored_at_most_once_an_hour(safe: Safe) -> None:
    key = safe.keys.create("acme", "anna")

    def use() -> datetime | None:
        found = safe.keys.verify(key.secret)
        assert found is not None
        safe.keys.record_use(found)
        (after,) = safe.keys.all("acme")
        return after.last_used_at

    first = use()
    assert first == safe.now
    (mirrored,) = safe.mirrored()
    safe.now += timedelta(seconds=59)
    assert use() == first
    safe.now += timedelta(seconds=1)
    assert use() == safe.now
    assert safe.mirrored() == [mirrored], "not a statement of the warehouse each minute"
    safe.now += timedelta(hours=1)
    assert use() == safe.now
    assert safe.mirrored() != [mirrored]


def test_scopes_and_days_that_do_not_exist_are_refused(safe: Safe) -> None:
    with pytest.raises(ValueError, match="read, run; not everything"):
        safe.keys.create("acme", "anna", ["everything"])
    with pytest.raises(ValueError, match="not none"):
        safe.keys.create("acme", "anna", [])
    for days in (0, -1, 100_000):
        with pytest.raises(ValueError, match="1 to 3650 days"):
            safe.keys.create("acme", "anna", days=days)
    assert safe.keys.all() == []


def test_no_table_of_the_store_holds_a_secret(safe: Safe) -> None:
    key = safe.keys.create("acme", "anna")
    safe.keys.verify(key.secret)
    rest = key.secret.split("_", 2)[2]
    with safe.store.read() as connection:
        for table in metadata.sorted_tables:
            assert rest not in repr(connection.execute(sa.select(table)).all()), table.name
    assert rest not in repr(key)


def test_the_ledger_has_a_copy_without_hashes(tmp_path: Path) -> None:
    project = Project.at(tmp_path / "home")
    store = ControlStore.open(project.settings, {})
    keys = Keys(store)
    created = keys.create("acme", "anna", ["read", "run"])
    keys.revoke(keys.create("acme", "anna", ["read"]).key_id, "anna")
    written = write_ledger(
        store, lambda location: open_warehouse(project.settings, location), {"acme": project.tenant}, 30
    )
    assert (written.rows, written.failed) == (2, {})
    rows = {str(row["key_id"]): row for row in project.read("SELECT * FROM acme.x_meta_api_keys")}
    assert set(rows) == {key.key_id for key in keys.all("acme")}
    copy = rows[created.key_id]
    assert (copy["tenant_id"], copy["is_active"], copy["created_by"]) == ("acme", True, "anna")
    assert copy["key_prefix"] == created.secret.split("_")[1]
    assert [row["is_active"] for row in rows.values() if row["key_id"] != created.key_id] == [False]
    assert not any("hash" in column for column in copy)
    keys.revoke(created.key_id, "anna")
    write_ledger(store, lambda location: open_warehouse(project.settings, location), {"acme": project.tenant}, 30)
    assert project.read("SELECT COUNT(*) AS n FROM acme.x_meta_api_keys WHERE NOT is_active") == [{"n": 2}]


def test_every_wrong_key_is_answered_alike_and_a_revoked_one_at_once(fresh: Service) -> None:
    expired, revoked = fresh.key(days=1), fresh.key(days=2)
    path = "/api/v1/pipelines"
    for secret in (expired, revoked):
        assert fresh.client.get(path, headers={"x-api-key": secret}).status_code == 200
    expire(fresh, expired)
    listed = fresh.admin("GET", "/admin/tenants/acme/api-keys").json()["keys"]
    own = next(key["key_id"] for key in listed if key["key_prefix"] == revoked.split("_")[1])
    assert fresh.admin("DELETE", f"/admin/tenants/acme/api-keys/{own}").json()["state"] == "revoked"
    answers = [
        fresh.client.get(path, headers=headers)
        for headers in (
            {}, {"x-api-key": expired}, {"x-api-key": revoked}, {"x-api-key": "cvg_0000000000_x"}, {b"x-api-key": "é".encode()},
            {"x-admin-key": ADMIN_KEY}, {"authorization": f"Bearer {expired}"},
        )
    ]  # fmt: skip
    assert {answer.status_code for answer in answers} == {401}
    assert len({answer.text for answer in answers}) == 1
    assert answers[0].json()["message"] == "invalid or expired API key"
    assert fresh.client.get("/admin/tenants", headers={"x-admin-key": ADMIN_KEY + "x"}).text == answers[0].text
    assert fresh.client.get("/admin/tenants", headers={"x-api-key": fresh.key()}).status_code == 401


def test_a_key_is_made_listed_extended_and_revoked_over_http(fresh: Service) -> None:
    keys = "/admin/tenants/acme/api-keys"
    response = fresh.admin("POST", keys, {"scopes": ["read"], "days": 10, "created_by": "anna"})
    assert response.status_code == 201, response.text
    secret, key_id = response.json()["secret"], response.json()["key_id"]
    assert fresh.client.get("/api/v1/pipelines", headers={"x-api-key": secret}).status_code == 200
    refused = fresh.client.post(
        "/api/v1/pipelines/demo_costs/runs", json={"partition": "2026-04-01"}, headers={"x-api-key": secret}
    )
    assert (refused.status_code, refused.json()["error"]) == (403, "scope_missing")
    listed = fresh.admin("GET", keys)
    assert secret not in listed.text
    assert listed.json()["keys"][0]["created_by"] == "anna"
    extended = fresh.admin("PATCH", f"{keys}/{key_id}", {"days": 100})
    assert extended.json()["expires_at"] > response.json()["expires_at"]
    assert fresh.admin("PATCH", f"/admin/tenants/globex_zzsecret/api-keys/{key_id}", {"days": 9}).status_code == 404
    assert fresh.admin("DELETE", f"{keys}/{key_id}").status_code == 200
    assert fresh.admin("DELETE", f"{keys}/{key_id}").status_code == 200
    assert fresh.admin("PATCH", f"{keys}/{key_id}", {"days": 9}).status_code == 409
    assert fresh.client.get("/api/v1/pipelines", headers={"x-api-key": secret}).status_code == 401
    assert fresh.admin("POST", "/admin/tenants/nobody/api-keys", {}).status_code == 404


def test_without_an_admin_key_nothing_opens_the_admin_routes(tmp_path: Path) -> None:
    with serving(tmp_path) as service:
        service.deployment.settings = type(service.settings)(**vars(service.settings) | {"admin_key": None})
        for sent in ({}, {"x-admin-key": ""}, {"x-admin-key": "None"}, {"x-admin-key": ADMIN_KEY}):
            assert service.client.get("/admin/tenants", headers=sent).status_code == 401


def test_no_secret_reaches_a_log_an_answer_or_a_file(
    fresh: Service, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG)
    response = fresh.admin("POST", "/admin/tenants/acme/api-keys", {})
    secret = response.json()["secret"]
    wrong = secret[:-1] + ("a" if secret[-1] != "a" else "b")
    answers = [
        fresh.client.get("/api/v1/pipelines", headers={"x-api-key": secret}),
        fresh.client.get("/api/v1/pipelines", headers={"x-api-key": wrong}),
        fresh.client.get(f"/api/v1/executions/{secret}", headers={"x-api-key": secret}),
        fresh.client.post("/api/v1/pipelines/demo_costs/runs", json={secret: secret}, headers={"x-api-key": secret}),
        fresh.client.patch(f"/admin/tenants/acme/api-keys/{secret}", json={"by": secret + "!"},
                           headers={"x-admin-key": ADMIN_KEY}),
        fresh.client.get("/admin/tenants", headers={"x-admin-key": ADMIN_KEY + "x"}),
    ]  # fmt: skip
    fresh.deployment.background.close()
    rest = secret.split("_", 2)[2][:-1]
    ours = [record for record in caplog.records if not record.name.startswith("http")]  # what the client itself sends
    logged = (
        "\n".join(f"{record.name} {record.getMessage()} {record.exc_text}" for record in ours)
        + "".join(capfd.readouterr())
        + repr(fresh.deployment.settings)
    )
    logged += "".join(answer.text.replace("body." + secret, "") for answer in answers)
    assert "audit: " in logged
    for planted in (rest, ADMIN_KEY):
        assert planted not in logged
    for file in Path(fresh.settings.home).parent.rglob("*"):
        if file.is_file():
            assert rest.encode() not in file.read_bytes(), file
            assert ADMIN_KEY.encode() not in file.read_bytes(), file
