"""The API on loopback over two tenants' data."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parents[1] / "assets"))
sys.path.insert(0, str(Path(__file__).parents[1] / "ledger"))

from service import Service, furnish, serving

POSTGRES = pytest.param("postgres", marks=pytest.mark.xdist_group("postgres"))


@pytest.fixture(scope="module", params=["sqlite", POSTGRES])
def service(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """Without limits, furnished; shared by a module's tests, which leave what is there as it is. The control store is of
    each kind."""
    more = {}
    if request.param == "postgres":
        server = request.getfixturevalue("postgres")
        more["control_url"] = server.url(server.database())
    with serving(tmp_path_factory.mktemp("service"), **more) as running:
        running.ids = furnish(running)
        yield running


@pytest.fixture
def fresh(tmp_path: Path) -> Iterator[Service]:
    """Without limits and empty, a test's own."""
    with serving(tmp_path) as running:
        yield running
