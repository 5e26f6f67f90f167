"""The API on loopback over two tenants' data."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.api.service import Service, furnish, serving
from tests.postgres.postgres_server import POSTGRES
from tests.postgres.postgres_stores import postgres_store


@pytest.fixture(scope="module", params=["sqlite", POSTGRES])
def service(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """Without limits, furnished; shared by a module's tests, which leave what is there as it is. The control store is of
    each kind."""
    more: dict[str, Any] = {}
    if request.param == "postgres":
        server = request.getfixturevalue("postgres")
        more["control_url"] = postgres_store(server)
    with serving(tmp_path_factory.mktemp("service"), **more) as running:
        running.ids = furnish(running)
        yield running


@pytest.fixture
def fresh(tmp_path: Path) -> Iterator[Service]:
    """Without limits and empty, a test's own."""
    with serving(tmp_path) as running:
        yield running
