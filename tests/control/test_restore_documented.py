"""The lines of docs/DEPLOYMENT.md that back up and restore the control store, run as they stand."""

import os
import re
import subprocess
from datetime import timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa

from convergence_assets.control.keys import Keys
from convergence_assets.control.store import ControlStore
from tests.postgres.postgres_server import Postgres
from tests.postgres.postgres_stores import postgres_store

PAGE = Path(__file__).parents[2] / "docs" / "DEPLOYMENT.md"


def lines(first_word: str) -> list[str]:
    section = PAGE.read_text().partition("### Back up and restore")[2].partition("\n### ")[0]
    blocks = re.findall(r"```sh\n(.*?)```", section, re.DOTALL)
    return next(block.splitlines() for block in blocks if block.startswith(first_word))


def run(line: str, **environ: str) -> None:
    done = subprocess.run(["bash", "-euc", line], env=environ, capture_output=True, text=True)
    assert done.returncode == 0, f"{line}\n{done.stderr}"


def key_ids(store: ControlStore) -> set[str]:
    return {key.key_id for key in Keys(store).all()}


def test_the_copy_of_a_file_is_put_back(tmp_path: Path) -> None:
    url = sa.URL.create("sqlite", database=str(tmp_path / "control.db"))
    store = ControlStore(url)
    kept = Keys(store).create("acme", "test").key_id
    assert store.back_up(timedelta(0)) == tmp_path / "control.db.backup"
    Keys(store).create("acme", "test")
    assert len(key_ids(store)) == 2
    for line in lines("rm "):
        run(line, PATH=os.environ["PATH"], CONVERGENCE_HOME=str(tmp_path))
    assert key_ids(ControlStore(url)) == {kept}


@pytest.mark.xdist_group("postgres")
def test_a_dump_of_postgres_is_restored(tmp_path: Path, postgres: Postgres) -> None:
    url = postgres_store(postgres)
    store = ControlStore(sa.make_url(url))
    kept = Keys(store).create("acme", "test").key_id
    dump, restore = lines("pg_dump")
    environ = {
        "PATH": f"{postgres._bin}{os.pathsep}{os.environ['PATH']}",
        "DATABASE_URL": url.replace("+psycopg2", ""),
    }
    run(f"cd {tmp_path} && {dump}", **environ)
    Keys(store).create("acme", "test")
    run(f"cd {tmp_path} && {restore}", **environ)
    assert key_ids(store) == {kept}
