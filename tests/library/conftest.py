"""The repository's tenants on a platform of their own."""

from collections.abc import Callable
from datetime import date
from pathlib import Path

import pytest

from convergence_assets.settings import Settings
from convergence_assets.tenancy.loading import LoadContext
from convergence_assets.tenancy.registry import load_registry
from convergence_assets.tenancy.tenant import TenantRegistry
from tests.library.platform_in_a_folder import Platform
from tests.peer.peer_server import Peer

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def landing(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("landing")


@pytest.fixture(scope="session")
def registry(landing: Path) -> TenantRegistry:
    found = load_registry(str(ROOT / "tenants"), None, today=date(2026, 12, 1), context=LoadContext(landing=landing))
    assert not found.problems, "\n".join(p.render() for p in found.problems)
    return found


@pytest.fixture
def platform(tmp_path: Path, registry: TenantRegistry) -> Platform:
    return Platform(_settings(tmp_path / "home"), registry)


def _settings(home: Path) -> Settings:
    return Settings.from_env({"CONVERGENCE_HOME": str(home), "CONVERGENCE_WAREHOUSE": "embedded"})


@pytest.fixture
def other_platform(tmp_path: Path, registry: TenantRegistry) -> Callable[[], Platform]:
    """Makes a second platform with a home of its own."""
    return lambda: Platform(_settings(tmp_path / "other-home"), registry)


@pytest.fixture
def on_bigquery(tmp_path: Path, registry: TenantRegistry, peer: Peer) -> Platform:
    """A platform on the local BigQuery server."""
    return Platform(peer.settings(tmp_path / "bigquery-home"), registry)
