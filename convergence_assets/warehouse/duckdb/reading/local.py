"""A file as the engine can read it: plain, uncompressed, under a name that is no pattern."""

import gzip
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, cast

from convergence_assets.warehouse.errors import NotFound, UnreadableFile
from convergence_assets.warehouse.interface import SourceFile

_CHUNK_BYTES = 1 << 20
_MOST_UNPACKED_GIGABYTES = 100
_BYTE_ORDER_MARKS = {
    b"\xff\xfe\x00\x00": "UTF-32",
    b"\x00\x00\xfe\xff": "UTF-32",
    b"\xff\xfe": "UTF-16",
    b"\xfe\xff": "UTF-16",
}
_GZIP, _ZSTD = b"\x1f\x8b", b"\x28\xb5\x2f\xfd"


def named(file: SourceFile) -> str:
    """What messages call the file."""
    return file.name or file.path


@contextmanager
def plain(file: SourceFile, folder: Path) -> Iterator[Path]:
    """The file's content under a path of its own in `folder`; raises `UnreadableFile`, or `NotFound` where it is not.

    A link, since a name like `a[1].csv` is a pattern to DuckDB and `day=2026-10-12` a column; a copy where it is
    compressed. Text is checked for what no text of UTF-8 has.
    """
    try:
        mode = Path(file.path).stat().st_mode
    except OSError as error:
        raise NotFound(f"file {named(file)} cannot be read: {error.strerror}") from None
    if not stat.S_ISREG(mode):
        raise UnreadableFile(f"{named(file)}: is no regular file; expected {_KINDS[file.format]}")
    with tempfile.TemporaryDirectory(prefix="reading-", dir=folder) as scratch:
        target = Path(scratch, f"rows.{file.format}")
        with _reading(file) as opened:
            first = opened.read(4)
        if file.format == "parquet":
            _check_parquet(file, first)
        elif first[:2] == _GZIP or first == _ZSTD:
            _unpack(file, first, target)
        else:
            with _reading(file) as opened:
                _check(file, opened, None)
        if not target.exists():
            target.symlink_to(Path(file.path).absolute())
        yield target


def lines(path: Path) -> Iterator[bytes]:
    """The physical lines of a plain file."""
    with path.open("rb") as opened:
        yield from opened


def line_at(path: Path, offset: int) -> int:
    """The line, from 1, of the first text at or after so many bytes of a plain file."""
    line = 1
    with path.open("rb") as opened:
        while offset > 0 and (chunk := opened.read(min(offset, _CHUNK_BYTES))):
            line += chunk.count(b"\n")
            offset -= len(chunk)
        while (byte := opened.read(1)) in (b"\r", b"\n") and byte:
            line += byte == b"\n"
    return line


_KINDS = {"csv": "CSV", "jsonl": "JSON Lines", "parquet": "Parquet"}


@contextmanager
def _reading(file: SourceFile) -> Iterator[IO[bytes]]:
    try:
        with Path(file.path).open("rb") as opened:
            yield opened
    except OSError as error:
        if error.strerror is None:
            raise
        raise NotFound(f"file {named(file)} cannot be read: {error.strerror}") from None


def _check_parquet(file: SourceFile, first: bytes) -> None:
    if not first:
        raise UnreadableFile(f"{named(file)}: has no bytes; expected Parquet")
    if first != b"PAR1":
        raise UnreadableFile(f"{named(file)}: is not Parquet: it does not begin with PAR1")


def _unpack(file: SourceFile, first: bytes, into: Path) -> None:
    kind = "gzip" if first[:2] == _GZIP else "zstd"
    try:
        with _unpacking(file.path, kind) as opened, into.open("wb") as output:
            _check(file, opened, output)
    except (EOFError, gzip.BadGzipFile, OSError) as error:
        if isinstance(error, OSError) and error.errno:
            raise
        raise UnreadableFile(f"{named(file)}: is cut short or broken: {kind} cannot unpack it") from None


@contextmanager
def _unpacking(path: str, kind: str) -> Iterator[IO[bytes]]:
    if kind == "gzip":
        with gzip.open(path, "rb") as opened:
            yield cast(IO[bytes], opened)
        return
    import pyarrow as pa

    with pa.OSFile(path) as raw, pa.CompressedInputStream(raw, "zstd") as stream:
        yield stream


def _check(file: SourceFile, opened: IO[bytes], copy: IO[Any] | None) -> None:
    number, first, size = 1, True, 0
    while chunk := opened.read(_CHUNK_BYTES):
        if first:
            _check_encoding(file, chunk)
            first = False
        at = chunk.find(b"\0")
        if at >= 0:
            line = number + chunk.count(b"\n", 0, at)
            raise UnreadableFile(f"{named(file)}:{line}: holds a zero byte; expected text in UTF-8")
        if copy:
            size += len(chunk)
            if size > _MOST_UNPACKED_GIGABYTES * 10**9:
                raise UnreadableFile(f"{named(file)}: unpacks to more than {_MOST_UNPACKED_GIGABYTES} GB")
            copy.write(chunk)
        number += chunk.count(b"\n")


def _check_encoding(file: SourceFile, chunk: bytes) -> None:
    for mark, name in _BYTE_ORDER_MARKS.items():
        if chunk.startswith(mark):
            raise UnreadableFile(f"{named(file)}: is {name}; expected UTF-8")
