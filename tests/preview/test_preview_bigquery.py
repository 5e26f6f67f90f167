"""A preview on BigQuery: the same figures, and nothing staged afterwards."""

from decimal import Decimal
from pathlib import Path

import pytest

from convergence_assets.assets.warehouse_factory import open_warehouse
from convergence_assets.warehouse.schema import Dataset
from tests.peer.peer_server import Peer
from tests.preview.fleet import DAYS, Fleet
from tests.preview.test_preview import ROUNDED, SQL, figures, previewed, sums

pytestmark = pytest.mark.peer


def test_its_figures_are_those_after_publishing_on_bigquery(tmp_path: Path, peer: Peer) -> None:
    fleet = Fleet.at(tmp_path, warehouse=peer.variables)
    fleet.publish("acme", days=(DAYS[0], DAYS[1]))
    fleet.edit(SQL, *ROUNDED)
    code, answer = fleet.preview("--tenant", "acme", "--max-gigabytes", "1")
    assert code == 3
    with open_warehouse(fleet.settings) as warehouse:
        assert warehouse.staged_runs(Dataset("acme")) == {}
    before = figures(previewed(answer, "totals"), "total", "before")
    after = figures(previewed(answer, "totals"), "total", "after")
    assert before == {key: total for key, (_, total) in sums(fleet, "acme.totals", "total").items()}
    fleet.publish("acme", days=(DAYS[0], DAYS[1]))
    assert after == {key: total for key, (_, total) in sums(fleet, "acme.totals", "total").items()}
    assert sum(after.values()) != sum(before.values(), Decimal())
