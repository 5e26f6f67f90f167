"""What tests of several packages share: a small project, the local BigQuery server, a Postgres."""

import gc
import os
import shutil
import signal
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from tests.assets.project import Project
from tests.peer.peer_server import Peer
from tests.postgres.postgres_server import Postgres

ROOT = Path(__file__).parents[1]
ENVIRONMENT = Path(os.environ.get("CONVERGENCE_PEER_ENVIRONMENT", ROOT / ".peer"))


def _leave_behind_what_was_inherited() -> None:
    """A background job or a CI runner ignores SIGINT, closes stdin, or hides new files from everybody else."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.pthread_sigmask(signal.SIG_SETMASK, [])
    os.umask(0o022)
    with suppress(OSError):
        os.fstat(0)
        return
    os.open(os.devnull, os.O_RDONLY)


def _write_to_memory() -> None:
    """Databases that tests make wait for the disk at each commit: a fifth of the whole run."""
    memory = Path("/dev/shm")
    if "TMPDIR" not in os.environ and memory.is_dir() and shutil.disk_usage(memory).free > 4 * 2**30:
        os.environ["TMPDIR"] = tempfile.tempdir = str(memory)


_leave_behind_what_was_inherited()
_write_to_memory()
# How long an example takes says something of the machine alone.
settings.register_profile("any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any machine")
# Processes that tests start import `tests` and the package from here.
os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))


def pytest_collection_finish() -> None:
    """What is imported and collected stays: the garbage collector need not walk it again and again."""
    gc.collect()
    gc.freeze()
    # Parsers make hundreds of thousands of objects that live on: it looks at them less often.
    gc.set_threshold(50_000, 20, 20)


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project.at(tmp_path / "home")


@pytest.fixture(autouse=True)
def the_environment_is_left_as_it_was() -> Iterator[None]:
    before = _chosen()
    yield
    assert _chosen() == before, "the next test would find what this one chose"


def _chosen() -> dict[str, str]:
    named = ("CONVERGENCE_", "DAGSTER_HOME", "GCP_", "BIGQUERY_", "REDIS_URL")
    return {name: value for name, value in os.environ.items() if name.startswith(named)}


@pytest.fixture(scope="session")
def peer_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Peer]:
    assert (ENVIRONMENT / "bin" / "local-bigquery").exists(), f"{ENVIRONMENT} has no server: run `make test-bigquery`"
    peer = Peer(ENVIRONMENT, tmp_path_factory.mktemp("peer"))
    peer.start()
    yield peer
    peer.stop()


@pytest.fixture
def peer(peer_server: Peer) -> Peer:
    """The running server, without datasets."""
    peer_server.drop_everything()
    return peer_server


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """A running Postgres. Mark the test `xdist_group("postgres")`, so that one worker alone starts one."""
    server = Postgres()
    server.start()
    yield server
    server.stop()
