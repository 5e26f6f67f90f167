"""What a tenant's files ask for that is somebody else's stands in the audit log, once."""

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from shutil import copytree

import pytest
import sqlalchemy as sa

from convergence_assets.control import audit
from convergence_assets.control.store import ControlStore
from convergence_assets.monitoring.code_versions import note_loaded
from convergence_assets.tenancy.registry import load_registry
from tests.control_stores import sqlite_store

TENANTS = Path(__file__).parents[2] / "tenants"
PIPELINE = "initech/pipelines/total_cost/pipeline.yaml"


@pytest.fixture
def noted(tmp_path: Path) -> Callable[[datetime], list[tuple[str | None, str, str | None]]]:
    """Loads the copy of the tenants at a moment; the audit lines of reaching out since then, oldest first."""
    sqlite_store(tmp_path / "control.db")
    copytree(TENANTS, tmp_path / "tenants")

    def lines(now: datetime) -> list[tuple[str | None, str, str | None]]:
        store = ControlStore(sa.make_url(f"sqlite:///{tmp_path / 'control.db'}"), lambda: now)
        note_loaded(store, load_registry(str(tmp_path / "tenants"), None, today=date(2026, 11, 23)))
        with store.read() as connection:
            found = [one.entry for one in audit.recorded_entries(connection) if one.entry.action == "tenant.reach_out"]
        return [(entry.tenant_id, entry.outcome, entry.subject) for entry in reversed(found)]

    return lines


def edit(folder: Path, file: str, old: str, new: str) -> None:
    path = folder / "tenants" / file
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new, 1))


def test_each_refusal_is_a_line_once_a_week_and_a_plain_mistake_is_none(
    tmp_path: Path, noted: Callable[[datetime], list[tuple[str | None, str, str | None]]]
) -> None:
    now = datetime(2026, 11, 23, tzinfo=UTC)
    edit(tmp_path, "acme/tenant.yaml", "ACME__SLACK_URL", "CONVERGENCE_ADMIN_KEY")
    edit(tmp_path, "globex/tenant.yaml", "timezone:", "time zone:")
    edit(tmp_path, PIPELINE, "{{ landing }}/licences", "/etc")
    first = [
        ("acme", "refused", "tenant.yaml:16: CONVERGENCE_ADMIN_KEY is the platform's own variable"),
        ("initech", "refused", "pipeline.yaml:9: /etc is no folder of this tenant's"),
    ]
    assert noted(now) == first
    assert noted(now + timedelta(days=1)) == first
    edit(tmp_path, PIPELINE, "/etc", "{{ landing }}/../globex")
    again = [*first, ("initech", "refused", "pipeline.yaml:9: .. leads out of a folder")]
    assert noted(now + timedelta(days=2)) == again
    assert len(noted(now + timedelta(days=9))) == len(again) + 1
