"""A file of the tenants folder, where all processes read it: created, or replaced if unchanged since it was read."""

import errno
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

_READ_ONLY = (errno.EACCES, errno.EPERM, errno.EROFS)


class ReadOnlyPlace(OSError):
    """Nothing can be written where the tenants' files are; the message has the reason."""


class Occupied(OSError):
    """The file is there already, or is no longer as it was read."""


class TenantsFile:
    """A file by its path below the tenants folder, which may be an fsspec URL. Every method but `read` raises
    `ReadOnlyPlace` where nothing can be written."""

    def __init__(self, tenants: str, path: str) -> None:
        self.shown = f"{tenants.rstrip('/')}/{path}"
        self._remote = "://" in tenants
        self._made_folder = False

    def read(self) -> bytes | None:
        """Its content, None where it is not there."""
        if not self._remote:
            with suppress(FileNotFoundError, NotADirectoryError):
                return Path(self.shown).read_bytes()
            return None
        filesystem, path = self._place()
        try:
            content: bytes = filesystem.cat_file(path)
        except FileNotFoundError:
            return None
        return content

    def create(self, content: bytes) -> None:
        """Write it whole; raises `Occupied` where there is one."""
        with _read_only_errors(self.shown):
            if self._remote:
                filesystem, path = self._place()
                filesystem.makedirs(path.rpartition("/")[0], exist_ok=True)
                filesystem.pipe_file(path, content, mode="create")
                return
            target = Path(self.shown)
            self._made_folder = self._made_folder or not target.parent.is_dir()
            target.parent.mkdir(exist_ok=True)
            try:
                scratch = _write_scratch(target, content)
                try:
                    # A link is refused where the name is taken, a rename is not.
                    os.link(scratch, target)
                finally:
                    scratch.unlink()
            except OSError:
                self._remove_folder()
                raise

    def replace(self, before: bytes, content: bytes) -> None:
        """Write it whole in place of `before`; raises `Occupied` where that has changed meanwhile."""
        with _read_only_errors(self.shown):
            if self.read() != before:
                raise Occupied(errno.EEXIST, "was changed by somebody else meanwhile", self.shown)
            if self._remote:
                filesystem, path = self._place()
                filesystem.pipe_file(path, content)
                return
            target = Path(self.shown)
            scratch = _write_scratch(target, content)
            scratch.chmod(target.stat().st_mode)
            scratch.replace(target)

    def remove(self, content: bytes) -> None:
        """Take back what `create` wrote; what has been changed since stays."""
        if self.read() != content:
            return
        with _read_only_errors(self.shown):
            if self._remote:
                filesystem, path = self._place()
                filesystem.rm_file(path)
                return
            Path(self.shown).unlink()
            self._remove_folder()

    def _remove_folder(self) -> None:
        if self._made_folder:
            with suppress(OSError):  # another file was put there
                Path(self.shown).parent.rmdir()

    def _place(self) -> tuple[Any, str]:
        import fsspec

        filesystem, path = fsspec.core.url_to_fs(self.shown)
        filesystem.invalidate_cache()
        return filesystem, path


def _write_scratch(target: Path, content: bytes) -> Path:
    # Hidden: no reader of the folder takes it for a tenant's file.
    number, name = tempfile.mkstemp(dir=target.parent, prefix=".new-")
    with os.fdopen(number, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    scratch = Path(name)
    scratch.chmod(0o644)
    return scratch


@contextmanager
def _read_only_errors(shown: str) -> Iterator[None]:
    try:
        yield
    except FileExistsError as error:
        raise Occupied(errno.EEXIST, "is there already", shown) from error
    except (PermissionError, NotImplementedError) as error:
        raise ReadOnlyPlace(errno.EROFS, str(error) or "cannot be written", shown) from error
    except OSError as error:
        # gcsfs reports a 403 of its store only in words.
        if error.errno in _READ_ONLY or (error.errno is None and "forbidden" in str(error).lower()):
            raise ReadOnlyPlace(error.errno or errno.EROFS, error.strerror or str(error), shown) from error
        raise
