"""The former release works on what the present one has migrated: in a roll-out both run, and a rollback leaves the
tables as they are."""

import json
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from convergence_assets.control.location import control_url
from convergence_assets.control.tables import HEAD, VERSION_TABLE
from convergence_assets.settings import Settings
from tests import commands
from tests.clean_environment import clean_environment
from tests.former_release.test_upgrade import FORMER, TENANT, unpacked
from tests.postgres.postgres_server import LIVE_ON_POSTGRES, Postgres

PIPELINE = "gcp_billing"
DAY, NEXT_DAY = "2026-10-07", "2026-10-08"
READING = (
    ("schedule", TENANT), ("keys", "list", TENANT), ("locks", "list"), ("alerts", "list"),
    ("changes", "--from", "30d"), ("costs",), ("prune", "--plan"),
)  # fmt: skip


class Deployment:
    """A former home, unpacked, and the commands of both releases on it; `environ` names its stores."""

    def __init__(self, folder: Path, environ: dict[str, str]) -> None:
        with tarfile.open(FORMER / "release.tar.xz") as archive:
            archive.extractall(folder, filter="data")
        # The tenant's own copy: a release refuses to publish a table with columns that its library does not have.
        library = folder / "release" / "convergence_assets" / "pipelines" / "library"
        own = shutil.copytree(library / PIPELINE, folder / "tenants" / TENANT / "pipelines" / PIPELINE)
        suite = own / "expectations" / "gcp_focus.yaml"
        # This release stops rows of the former SQL by rules that the former one only told.
        suite.write_text(suite.read_text().replace("rules: focus\n", ""))
        self._folder = folder
        self._environ = clean_environment() | {"CONVERGENCE_WAREHOUSE": "embedded"} | unpacked(folder) | environ

    def present(self, *words: str) -> list[dict[str, Any]]:
        """What a command of this release says."""
        return _said(commands.convergence(*words, "--json", environ=self._environ, folder=self._folder))

    def former(self, *words: str) -> list[dict[str, Any]]:
        """What a command of the former release says."""
        return _said(self.python("-m", "convergence_assets.cli.main", *words, "--json"))

    def python(self, *words: str) -> "subprocess.CompletedProcess[str]":
        """An interpreter that imports the former release."""
        environ = self._environ | {"PYTHONPATH": str(self._folder / "release")}
        command = [sys.executable, *words]
        return subprocess.run(command, cwd=self._folder, env=environ, capture_output=True, text=True, check=False)

    def pipeline(self, release: str) -> dict[str, Any]:
        """What `status` of a release says of the pipeline; its exit code is 1, since no daemon runs."""
        words = ("status", TENANT, "--json")
        if release == "former":
            done = self.python("-m", "convergence_assets.cli.main", *words)
        else:
            done = commands.convergence(*words, environ=self._environ, folder=self._folder)
        (pipeline,) = json.loads(done.stdout)["pipelines"]
        # A day is published where every table that the release has is, and old by the definitions that it has.
        return {name: value for name, value in pipeline.items() if name not in ("last_published", "stale_table_days")}

    def revision(self) -> str:
        """Of the control store's tables."""
        engine = sa.create_engine(control_url(Settings.from_env(self._environ), self._environ))
        with engine.connect() as connection:
            revision = str(connection.scalar(sa.text(f"SELECT version_num FROM {VERSION_TABLE}")))
        engine.dispose()
        return revision


def _said(done: "subprocess.CompletedProcess[str]") -> list[dict[str, Any]]:
    assert "Traceback" not in done.stderr, done.stderr
    assert done.returncode == 0, done.stdout + done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.fixture(params=["sqlite", LIVE_ON_POSTGRES])
def deployment(request: pytest.FixtureRequest, tmp_path: Path) -> Deployment:
    if request.param == "sqlite":
        return Deployment(tmp_path, {})
    postgres: Postgres = request.getfixturevalue("postgres")
    made = Deployment(
        tmp_path,
        {
            "DAGSTER_PG_HOST": "127.0.0.1", "DAGSTER_PG_PORT": str(postgres.port), "DAGSTER_PG_USERNAME": "postgres",
            "DAGSTER_PG_PASSWORD": postgres.password, "DAGSTER_PG_DB": postgres.database(),
        },
    )  # fmt: skip
    config = tmp_path / "home" / "dagster" / "dagster.yaml"
    config.write_text((FORMER / "dagster.postgres.yaml").read_text())
    return made


@pytest.mark.live
def test_the_former_release_reads_and_publishes_in_a_store_that_this_one_has_migrated(deployment: Deployment) -> None:
    code = "import convergence_assets.control.tables as t; print(t.HEAD, t.__file__)"
    head, file = deployment.python("-c", code).stdout.split()
    assert "/release/" in file
    assert head < HEAD, "keep the last commit before the newest migration as release.tar.xz: see make_home.py"

    (before,) = deployment.present("run", TENANT, PIPELINE, "--partition", DAY)
    assert deployment.revision() == HEAD
    for words in READING:
        deployment.former(*words)
    assert deployment.pipeline("former") == deployment.pipeline("present")

    deployment.former("pause", TENANT, "--reason", "a rollback")
    deployment.former("resume", TENANT)
    (key,) = deployment.former("keys", "create", TENANT)
    (again,) = deployment.former("run", TENANT, PIPELINE, "--partition", DAY)
    (new,) = deployment.former("run", TENANT, PIPELINE, "--partition", NEXT_DAY)
    assert again["published"] == before["published"]
    rebuilt = deployment.python("-m", "convergence_assets.cli.main", "ledger", "rebuild")
    assert rebuilt.returncode == 0, rebuilt.stderr

    assert deployment.revision() == HEAD
    assert key["key_id"] in {row["key_id"] for row in deployment.present("keys", "list", TENANT)}
    assert deployment.pipeline("present") == deployment.pipeline("former")
    assert deployment.pipeline("present")["last_run"]["run_id"] == new["run_id"]
    (last,) = deployment.present("run", TENANT, PIPELINE, "--partition", NEXT_DAY)
    assert last["published"] == new["published"]
