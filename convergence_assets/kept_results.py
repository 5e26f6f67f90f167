"""What was worked out of a text, kept in files by the content it follows from: later processes need not do it again.

A thousand tenants over the same templates are a handful of files. Where no folder can be written, nothing is kept.
"""

import hashlib
import json
import logging
import os
import shutil
import stat
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

UNUSED_DAYS = 30
"""Results of other versions of the code are removed after so many days."""
MOST_FILES = 20_000
"""Of one version of the code: a thousand tenants with SQL of their own are some thousands, `query` adds one a text."""
_COUNTED = "00"
"""What the keys begin with whose writing has the files counted: one in 256."""
_log = logging.getLogger(__name__)


def folders() -> tuple[Path, ...]:
    """Where they are searched: next to the installed packages, then in the user's cache."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path(os.path.expanduser("~"), ".cache"))
    return Path(sys.prefix, "share", "convergence"), cache / "convergence"


def code_version(files: Iterable[Path], packages: Iterable[str]) -> str:
    """Of the code that a result follows from: these files, and the versions of these packages."""
    import importlib.metadata

    digest = hashlib.sha256()
    for file in sorted(files):
        digest.update(file.read_bytes())
    for package in packages:
        with suppress(importlib.metadata.PackageNotFoundError):
            digest.update(importlib.metadata.version(package).encode())
    return digest.hexdigest()[:16]


@dataclass(frozen=True)
class KeptResults:
    """The results of one kind, as one version of the code has them; `kind` is the beginning of their folder's name."""

    kind: str
    version: str

    def read(self, key: str) -> Any:
        """The JSON value; None where it is not kept."""
        for folder in self._folders():
            file = folder / f"{key}.json"
            with suppress(OSError, ValueError):
                has = file.stat()
                if has.st_uid not in (0, os.getuid()) or has.st_mode & 0o022:  # it decides what is run
                    continue
                return json.loads(file.read_text())
        return None

    def write(self, key: str, value: object) -> None:
        """Keep a JSON value, in the first folder that can be written."""
        content = json.dumps(value)
        for folder in self._folders():
            with suppress(OSError):
                if not folder.exists():
                    folder.mkdir(parents=True)
                    self._remove_unused(folder)
                descriptor, scratch = tempfile.mkstemp(prefix=key, dir=folder)
                with os.fdopen(descriptor, "w") as written:
                    written.write(content)
                os.chmod(scratch, stat.S_IRUSR | stat.S_IWUSR | stat.S_IRGRP | stat.S_IROTH)
                os.rename(scratch, folder / f"{key}.json")
                if key.startswith(_COUNTED):
                    _remove_oldest(folder)
                return
        _log.debug("no folder for what was worked out of SQL can be written; each process works it out again")

    def _folders(self) -> Iterator[Path]:
        return (folder / f"{self.kind}-{self.version}" for folder in folders())

    def _remove_unused(self, folder: Path) -> None:
        for other in folder.parent.glob(f"{self.kind}-*"):
            if other != folder and other.stat().st_mtime < time.time() - UNUSED_DAYS * 86_400:
                shutil.rmtree(other, ignore_errors=True)


def _remove_oldest(folder: Path) -> None:
    with suppress(OSError):  # others may remove the same ones
        files = sorted((file.stat().st_mtime, file.path) for file in os.scandir(folder))
        for _, path in files[: max(0, len(files) - MOST_FILES)]:
            os.unlink(path)
