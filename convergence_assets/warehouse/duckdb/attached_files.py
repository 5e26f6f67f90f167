"""Datasets' files attached to the engine for as long as a statement needs them, each under its lock."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from convergence_assets.warehouse.duckdb.engine import Engine
from convergence_assets.warehouse.duckdb.files import DatasetLock, Layout
from convergence_assets.warehouse.duckdb.quoting import literal, quoted
from convergence_assets.warehouse.errors import NotFound
from convergence_assets.warehouse.schema import Dataset, TableRef
from convergence_assets.warehouse.statements import absent_dataset

_STORED = "(STORAGE_VERSION 'v1.3.0', ROW_GROUP_SIZE 16384)"
"""Before 1.3 DuckDB tries an encoding of strings that takes half of the time of a checkpoint. A checkpoint writes the
row groups again that a day was added to: those of a week of small days, not of two months."""


def attach_to_write(file: Path, name: str) -> str:
    """The statement that attaches a file, made where there is none; one of an older version is brought to this."""
    return f"ATTACH {literal(str(file))} AS {quoted(name)} {_STORED}"


class Attaching:
    """Over the engine that `engine` gives."""

    def __init__(self, layout: Layout, engine: Callable[[], Engine]) -> None:
        self._layout = layout
        self._engine = engine

    @contextmanager
    def reading(self, datasets: Sequence[Dataset], timeout_seconds: float) -> Iterator[None]:
        """Shared with other readers. Raises `NotFound`, and `WarehouseBusy` after `timeout_seconds`."""
        with ExitStack() as stack:
            for dataset in sorted(datasets, key=str):
                self._exists(dataset)
                stack.enter_context(DatasetLock(self._layout, dataset).shared(timeout_seconds))
                self._exists(dataset)  # it may have been dropped while this waited
                file = literal(str(self._layout.dataset_file(dataset)))
                self._engine().run(f"ATTACH {file} AS {quoted(str(dataset))} (READ_ONLY)")
                stack.callback(self.detach, dataset)
            yield

    @contextmanager
    def reading_staged(self, tables_: Sequence[TableRef]) -> Iterator[None]:
        """What another run staged and left to be looked at. Raises `NotFound`."""
        with ExitStack() as stack:
            for table in tables_:
                dataset = Dataset.of(table)
                files = (self._layout.staging_folder / str(dataset)).glob("*.duckdb")
                file = next((f for f in files if table.table.endswith(f"__{f.stem.replace('-', '_')}")), None)
                if file is None:
                    raise NotFound(f"table {table} does not exist: staged rows are kept for a week, if a check failed")
                self._engine().run(f"ATTACH {literal(str(file))} AS {quoted(str(dataset))} (READ_ONLY)")
                stack.callback(self.detach, dataset)
            yield

    @contextmanager
    def writing(self, dataset: Dataset, timeout_seconds: float) -> Iterator[None]:
        """Alone with the dataset, which is made where there is none. Raises `WarehouseBusy` after `timeout_seconds`."""
        with DatasetLock(self._layout, dataset).exclusive(timeout_seconds), self._attached(dataset):
            yield

    def remove(self, dataset: Dataset, timeout_seconds: float) -> bool:
        """Delete the file of a dataset in which there is nothing; whether there was nothing. Raises `WarehouseBusy`."""
        with DatasetLock(self._layout, dataset).exclusive(timeout_seconds):
            with self._attached(dataset):
                there = self._engine().run(
                    "SELECT 1 FROM duckdb_tables() WHERE database_name = $catalog UNION ALL "
                    "SELECT 1 FROM duckdb_views() WHERE database_name = $catalog AND NOT internal",
                    {"catalog": str(dataset)},
                )
            if there:
                return False
            self._layout.remove(self._layout.dataset_file(dataset))
            return True

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All of it or nothing."""
        self._engine().run("BEGIN TRANSACTION")
        try:
            yield
        except BaseException:
            self._engine().run("ROLLBACK")
            raise
        self._engine().run("COMMIT")

    def detach(self, dataset: Dataset) -> None:
        self._engine().run(f"DETACH {quoted(str(dataset))}")

    def absent(self, dataset: Dataset) -> NotFound:
        """The error for a dataset that is not there."""
        return NotFound(absent_dataset(str(dataset), [str(d) for d in self._layout.datasets()]))

    @contextmanager
    def _attached(self, dataset: Dataset) -> Iterator[None]:
        self._engine().run(attach_to_write(self._layout.dataset_file(dataset), str(dataset)))
        try:
            yield
        finally:
            self.detach(dataset)

    def _exists(self, dataset: Dataset) -> None:
        if not self._layout.dataset_file(dataset).exists():
            raise self.absent(dataset)
