"""Who may read what: statements of BigQuery's data control language, and datasets that views may read."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from convergence_assets.warehouse.bigquery.administration import Administration
from convergence_assets.warehouse.bigquery.connection import Connection
from convergence_assets.warehouse.interface import Job
from convergence_assets.warehouse.schema import Dataset, Query, TableRef

if TYPE_CHECKING:
    from google.cloud import bigquery

_KINDS = {"VIEW": "VIEW", "MATERIALIZED_VIEW": "VIEW", "EXTERNAL": "EXTERNAL TABLE"}
_TIMEOUT_SECONDS = 120.0


@dataclass(frozen=True)
class Granting:
    """Every method raises `WarehouseError`."""

    connection: Connection
    administration: Administration

    def run(self, sql: str) -> None:
        """Run a statement that gives a role, or makes a dataset."""
        job = Job("grants", {"asset": "grants"}, _TIMEOUT_SECONDS)
        self.connection.jobs.run(self.connection.query("grant", Query(sql), job), job)

    def kind(self, table: TableRef) -> str:
        """As GRANT writes it: TABLE, VIEW or EXTERNAL TABLE."""
        return _KINDS.get(self.administration.table(table).table_type, "TABLE")

    def authorize(self, dataset: Dataset, access: Mapping[str, Any]) -> bool:
        """Add an entry to a dataset's access list; True if it was not there yet."""
        from google.cloud import bigquery

        client = self.connection.client
        name = f"{dataset.project or client.project}.{dataset.name}"
        fetched: bigquery.Dataset = self.connection.jobs.call(lambda retry: client.get_dataset(name, retry=retry))
        entry = bigquery.AccessEntry.from_api_repr(dict(access))
        if any(_same(existing_entry, entry) for existing_entry in fetched.access_entries):
            return False
        fetched.access_entries = [*fetched.access_entries, entry]
        # The dataset's etag is sent along: a concurrent change of its access is not overwritten.
        self.connection.jobs.call(lambda retry: client.update_dataset(fetched, ["access_entries"], retry=retry))
        return True

    def drop_views(self, dataset: Dataset, views_to_keep: Collection[TableRef]) -> tuple[TableRef, ...]:
        """Remove the platform's views of a dataset, except `views_to_keep`; returns those removed."""
        names = {view.table for view in views_to_keep}
        gone = tuple(view for view in self.administration.own_tables(dataset) if view.table not in names)
        for view in gone:
            self.administration.drop(view)
        return gone


def _same(one: "bigquery.AccessEntry", other: "bigquery.AccessEntry") -> bool:
    return bool(one.to_api_repr() == other.to_api_repr())  # type: ignore[no-untyped-call]
