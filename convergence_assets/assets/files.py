"""The files of a `files` step for a run's partitions, brought to local paths."""

import os
import stat
import tempfile
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from convergence_assets.outgoing import to_public_addresses
from convergence_assets.pipelines.models import FilesStep
from convergence_assets.tenancy.tenant import Step
from convergence_assets.tenancy.warnings import REMOTE_PLACES
from convergence_assets.warehouse.errors import NotFound, UnreadableFile
from convergence_assets.warehouse.interface import SourceFile

MOST_FILES_A_DAY = 10_000
LARGEST_FILE_GIGABYTES = 20
_TIMEOUT_SECONDS = 60
_CHUNK_BYTES = 1 << 20


@contextmanager
def source_files(
    step: Step, days: Sequence[date], private_hosts: Collection[str] = ()
) -> Iterator[tuple[SourceFile, ...]]:
    """Every file that the step's pattern matches, oldest partition first; remote ones as copies that go afterwards.

    A day without a file has no rows (the table's `when_empty` decides). A URL may lead to `private_hosts`, and else to
    public addresses alone. Raises `NotFound` where the place that the pattern points to cannot be read at all, and
    `UnreadableFile` for what is no regular file of the tenant's, or too large.
    """
    spec = step.spec
    assert isinstance(spec, FilesStep)
    assert step.path is not None
    collected: list[SourceFile] = []
    with tempfile.TemporaryDirectory(prefix="convergence-files-") as scratch:
        for day in days:
            partition = day if spec.partition_from_path else None
            pattern = step.path.replace("{date}", day.isoformat())
            if pattern.startswith("https://"):
                files = _fetch(pattern, Path(scratch) / str(len(collected)), private_hosts)
            else:
                files = _matching(pattern, step.folder, Path(scratch), len(collected))
            collected += (SourceFile(path, spec.format, partition, name, spec.delimiter) for path, name in files)
        yield tuple(collected)


def shown(path: str) -> str:
    """A path or URL as shown in messages: without a URL's query, which may hold a key or a signature."""
    return path.partition("?")[0] if "://" in path else path


def _matching(pattern: str, folder: str | None, scratch: Path, number: int) -> Iterator[tuple[str, str]]:
    """The local path of each file with what messages call it."""
    import fsspec

    try:
        filesystem, path = fsspec.core.url_to_fs(pattern)
        matches = sorted(filesystem.glob(path))
    except ImportError as error:
        protocol = pattern.partition("://")[0]
        module, extra = REMOTE_PLACES.get(protocol, (error.name, error.name))
        raise NotFound(
            f"files {shown(pattern)} cannot be read by this installation, which lacks {module}: pip install {extra}"
        ) from error
    except (OSError, ValueError) as error:
        raise NotFound(f"files {shown(pattern)} cannot be listed: {error}") from error
    if len(matches) > MOST_FILES_A_DAY:
        raise UnreadableFile(
            f"files {shown(pattern)}: {len(matches)} of them; expected at most {MOST_FILES_A_DAY} a day"
        )
    for i, match in enumerate(matches):
        if folder is not None:
            _check_local(match, folder)
            yield match, match
        else:
            name = shown(filesystem.unstrip_protocol(match))
            _check_size(name, filesystem.size(match) or 0)
            local = str(scratch / f"{number + i}-{Path(match).name}")
            filesystem.get_file(match, local)
            yield local, name


def _check_local(path: str, folder: str) -> None:
    real, root = os.path.realpath(path), os.path.realpath(folder)
    if not real.startswith(root.rstrip("/") + "/"):
        raise UnreadableFile(f"{path}: leads out of {folder}; expected a file within it")
    try:
        status = os.stat(real)
    except OSError as error:
        raise NotFound(f"file {path} cannot be read: {error.strerror}") from None
    if not stat.S_ISREG(status.st_mode):
        raise UnreadableFile(f"{path}: is no regular file")
    _check_size(path, status.st_size)


def _check_size(name: str, size: int) -> None:
    if size > LARGEST_FILE_GIGABYTES * 10**9:
        raise UnreadableFile(f"{name}: has {size / 10**9:.1f} GB; expected at most {LARGEST_FILE_GIGABYTES} GB a file")


def _fetch(url: str, into: Path, private_hosts: Collection[str]) -> Iterator[tuple[str, str]]:
    """The file that a URL names; none where the server answers 404."""
    import httpx

    name = shown(url)
    host = urlsplit(url).hostname or ""
    with to_public_addresses(host, private_hosts) as guard:
        try:
            with httpx.stream("GET", url, timeout=_TIMEOUT_SECONDS) as answer:
                if answer.status_code == 404:
                    return
                if answer.status_code != 200:
                    raise NotFound(f"file {name} cannot be read: HTTP {answer.status_code}{_redirected(answer)}")
                _save_body(answer, name, into)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise NotFound(f"file {name} cannot be read: {guard.refused or type(error).__name__}") from None
    yield str(into), name


def _save_body(answer: Any, name: str, into: Path) -> None:
    size = 0
    with into.open("wb") as file:
        for chunk in answer.iter_bytes(_CHUNK_BYTES):
            size += len(chunk)
            _check_size(name, size)
            file.write(chunk)


def _redirected(answer: Any) -> str:
    return ", which is not followed to another address" if answer.has_redirect_location else ""
