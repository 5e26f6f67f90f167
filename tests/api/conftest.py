"""The API on loopback over two tenants' data."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parents[1] / "assets"))
sys.path.insert(0, str(Path(__file__).parents[1] / "ledger"))

from service import Service, furnish, serving


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """Without limits, furnished; shared by a module's tests, which leave what is there as it is."""
    with serving(tmp_path_factory.mktemp("service")) as running:
        running.ids = furnish(running)
        yield running


@pytest.fixture
def fresh(tmp_path: Path) -> Iterator[Service]:
    """Without limits and empty, a test's own."""
    with serving(tmp_path) as running:
        yield running
