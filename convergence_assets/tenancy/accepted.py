"""The last accepted version of every tenant's files, so that a bad edit leaves the tenant on it."""

import os
import shutil
import tempfile
import uuid
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

_VERSION = ".version"


class AcceptedStore:
    """A folder with one folder a name; several processes may write the same version at once.

    A version is written beside and renamed into place: a reader sees the old or the new one, whole.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def version(self, name: str) -> str | None:
        """The version that is kept, None if none ever was."""
        with suppress(OSError):
            return os.readlink(self._folder / name)
        return None

    def files(self, name: str) -> Mapping[str, bytes]:
        """The kept files by relative path; empty if there are none."""
        root = self._folder / name
        return (
            {str(f.relative_to(root)): f.read_bytes() for f in sorted(root.rglob("*")) if f.is_file()}
            if root.exists()
            else {}
        )

    def keep(self, name: str, version: str, files: Mapping[str, bytes]) -> None:
        """Make `files` the accepted version; nothing is written when they already are."""
        link, target = self._folder / name, f"{_VERSION}s/{name}/{version}"
        if self.version(name) == target:
            return
        final = self._folder / target
        if not final.exists():
            final.parent.mkdir(parents=True, exist_ok=True)
            scratch = Path(tempfile.mkdtemp(dir=final.parent, prefix=".new-"))
            for path, raw in files.items():
                file = scratch / path
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_bytes(raw)
            try:
                scratch.rename(final)
            except OSError:  # another process was first with the same content
                shutil.rmtree(scratch)
        pointer = self._folder / f".link-{uuid.uuid4().hex}"
        pointer.symlink_to(target)
        pointer.replace(link)
