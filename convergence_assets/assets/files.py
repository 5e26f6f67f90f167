"""The files of a `files` step for a run's partitions, brought to local paths."""

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import date
from pathlib import Path

from convergence_assets.pipelines.models import FilesStep
from convergence_assets.tenancy.model import Step
from convergence_assets.warehouse.errors import NotFound
from convergence_assets.warehouse.interface import SourceFile


@contextmanager
def source_files(step: Step, days: Sequence[date]) -> Iterator[tuple[SourceFile, ...]]:
    """Every file that the step's pattern matches, oldest partition first; remote ones as copies that go afterwards.

    A day without a file has no rows (the table's `when_empty` decides). Raises `NotFound` where the place that the
    pattern points to cannot be read at all.
    """
    import fsspec

    spec = step.spec
    assert isinstance(spec, FilesStep)
    assert step.path is not None
    found: list[SourceFile] = []
    with tempfile.TemporaryDirectory(prefix="convergence-files-") as scratch:
        for day in days:
            partition = day if spec.partition_from_path else None
            pattern = step.path.replace("{date}", day.isoformat())
            try:
                filesystem, path = fsspec.core.url_to_fs(pattern)
                matches = sorted(filesystem.glob(path))
            except (OSError, ImportError, ValueError) as error:
                raise NotFound(f"files {pattern} cannot be listed: {error}") from error
            for match in matches:
                local, name = match, match
                if "file" not in filesystem.protocol:
                    local = str(Path(scratch) / f"{len(found)}-{Path(match).name}")
                    filesystem.get_file(match, local)
                    # Without what a URL may carry besides its path: a key, a signature.
                    name = filesystem.unstrip_protocol(match).partition("?")[0]
                found.append(SourceFile(str(local), spec.format, partition, name, spec.delimiter))
        yield tuple(found)
