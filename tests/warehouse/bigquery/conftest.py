import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from fake_bigquery import FakeBigQuery, fake_bigquery


@pytest.fixture
def fake() -> Iterator[FakeBigQuery]:
    with fake_bigquery() as server:
        yield server
