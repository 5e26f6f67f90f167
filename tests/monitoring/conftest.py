from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest

from tests.dagster_homes import dagster_at
from tests.monitoring.watched import Watched


@pytest.fixture
def watched(tmp_path: Path) -> Watched:
    return Watched.at(tmp_path / "home")


@pytest.fixture
def instance(tmp_path: Path) -> Iterator[dg.DagsterInstance]:
    with dagster_at(tmp_path / "dagster") as instance:
        yield instance
