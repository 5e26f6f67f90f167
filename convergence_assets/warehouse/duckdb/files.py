"""Where the embedded warehouse keeps its datasets, and the lock that guards each file across processes."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import filelock

from convergence_assets.warehouse.errors import AccessDenied, WarehouseBusy
from convergence_assets.warehouse.schema import Dataset

_LOCK_POLL_SECONDS = 2.0


@dataclass(frozen=True)
class Layout:
    """The folder tree: `<dataset>.duckdb` or `<project>/<dataset>.duckdb`, `staging/<dataset>/<run>.duckdb`."""

    folder: Path

    def dataset_file(self, dataset: Dataset) -> Path:
        return self._datasets(dataset) / f"{dataset.name}.duckdb"

    def lock_file(self, dataset: Dataset) -> Path:
        return self._datasets(dataset) / f"{dataset.name}.lock"

    def staging_file(self, dataset: Dataset, run_id: str) -> Path:
        return self.staging_folder / str(dataset) / f"{run_id}.duckdb"

    @property
    def staging_folder(self) -> Path:
        return self.folder / "staging"

    @property
    def spill_folder(self) -> Path:
        return self.folder / "spill"

    def datasets(self) -> tuple[Dataset, ...]:
        """Every dataset that has a file, sorted by name."""
        root = self.folder / "datasets"
        without_project = [Dataset(f.stem) for f in root.glob("*.duckdb")]
        others = [Dataset(f.stem, f.parent.name) for f in root.glob("*/*.duckdb")]
        return tuple(sorted(without_project + others, key=str))

    @staticmethod
    def remove(file: Path) -> None:
        """A database's file with DuckDB's files next to it; raises FileNotFoundError."""
        file.unlink()
        file.with_name(f"{file.name}.wal").unlink(missing_ok=True)

    def _datasets(self, dataset: Dataset) -> Path:
        root = self.folder / "datasets"
        return root / dataset.project if dataset.project else root


class DatasetLock:
    """Many readers or one writer of a dataset's file, over all processes; a dead holder's lock is free at once.

    SQLite's file locks underneath (filelock.ReadWriteLock): a waiting writer holds new readers back, so readers
    that overlap for ever cannot starve a publish.
    """

    def __init__(self, layout: Layout, dataset: Dataset) -> None:
        self._dataset = dataset
        path = layout.lock_file(dataset)
        self._lock: filelock.ReadWriteLock | None = None
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._lock = filelock.ReadWriteLock(str(path), is_singleton=False)
        except OSError as error:
            self._why_none = f"{path} cannot be written: {error.strerror or error}"

    @contextmanager
    def shared(self, timeout_seconds: float) -> Iterator[None]:
        """Raises `WarehouseBusy` after `timeout_seconds`.

        Where the lock's file cannot be written, on a read-only disk or by another user, DuckDB's own lock on the
        dataset's file keeps a writer out.
        """
        if self._lock is None:
            yield
            return
        self._acquire(self._lock.acquire_read, timeout_seconds)
        try:
            yield
        finally:
            self._lock.release()

    @contextmanager
    def exclusive(self, timeout_seconds: float) -> Iterator[None]:
        """Raises `WarehouseBusy` after `timeout_seconds`, `AccessDenied` where the lock's file cannot be written."""
        if self._lock is None:
            raise AccessDenied(self._why_none)
        self._acquire(self._lock.acquire_write, timeout_seconds)
        try:
            yield
        finally:
            self._lock.release()

    def _acquire(self, acquire: Callable[..., object], timeout_seconds: float) -> None:
        # Waits of two seconds in a loop: SQLite's own wait is deaf to signals, and shorter ones lose the writer's turn.
        waited = 0.0
        while True:
            try:
                acquire(timeout=_LOCK_POLL_SECONDS)
                return
            except filelock.Timeout:
                waited += _LOCK_POLL_SECONDS
                if waited >= timeout_seconds:
                    raise WarehouseBusy(
                        f"dataset {self._dataset} stayed locked for {timeout_seconds:.0f} s by other processes"
                    ) from None
