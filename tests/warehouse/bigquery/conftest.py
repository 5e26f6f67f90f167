from collections.abc import Iterator

import pytest

from tests.warehouse.bigquery.fake_bigquery import FakeBigQuery, fake_bigquery


@pytest.fixture
def fake() -> Iterator[FakeBigQuery]:
    with fake_bigquery() as server:
        yield server
