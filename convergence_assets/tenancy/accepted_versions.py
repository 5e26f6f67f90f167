"""The last accepted version of every tenant's files, so that a bad edit leaves the tenant on it."""

import shutil
import tempfile
import uuid
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

_VERSIONS = ".versions"


class AcceptedStore:
    """A folder with a link for each name to its version's folder; several processes may write at once.

    A version is written beside and renamed into place, then the link is replaced: a reader sees the old or the new
    one, whole.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def version(self, name: str) -> str | None:
        """The version that is kept, None if none ever was."""
        folder = self._version_folder(name)
        return folder.name if folder else None

    def files(self, name: str) -> Mapping[str, bytes]:
        """The kept files by relative path; empty if there are none."""
        root = self._version_folder(name)
        if root is None:
            return {}
        return {f.relative_to(root).as_posix(): f.read_bytes() for f in sorted(root.rglob("*")) if f.is_file()}

    def keep_version(self, name: str, version: str, files: Mapping[str, bytes]) -> None:
        """Make `files` the accepted version; nothing is written when they already are. Raises OSError."""
        target = Path(_VERSIONS) / name / version
        if self._version_folder(name) == self._folder / target:
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
            except OSError:
                shutil.rmtree(scratch, ignore_errors=True)
                if not final.exists():
                    raise
                # Another process was first with the same content.
        pointer = self._folder / f".link-{uuid.uuid4().hex}"
        pointer.symlink_to(target)
        pointer.replace(self._folder / name)

    def _version_folder(self, name: str) -> Path | None:
        # The link is followed once: a version that is replaced meanwhile stays where it is.
        with suppress(OSError):
            return self._folder / (self._folder / name).readlink()
        return None
