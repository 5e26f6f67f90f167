"""What tests of several rooms share: the local BigQuery server, and a Postgres."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parent / "peer"))
sys.path.insert(0, str(Path(__file__).parent / "postgres"))

from peer_server import Peer
from postgres_server import Postgres

ENVIRONMENT = Path(os.environ.get("CONVERGENCE_PEER_ENVIRONMENT", Path(__file__).parents[1] / ".peer"))


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
