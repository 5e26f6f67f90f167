"""The files of a local tenant folder: regular ones of a bounded size and number, that lie in the folder itself."""

import os
import re
import stat
from collections.abc import Iterator
from pathlib import Path

READ = (".yaml", ".sql", ".json")
_REFERENCE = re.compile(r"(.*/)?reference/[^/]+\.csv")
LARGEST_FILE = 1_000_000
"""Bytes."""
LARGEST_FOLDER = 800_000
"""Bytes of all files that are read: a second or two of the load, where all of it is YAML."""
MOST_FILES = 500
MOST_ENTRIES = 5_000
"""Files and folders, with those that are not read."""
DEEPEST = 8
TOO_LARGE = f"it has more than {LARGEST_FILE // 1000} kB"
TOO_MANY = f"the folder has more than {MOST_FILES} files"
TOO_MUCH = f"the folder's files have more than {LARGEST_FOLDER // 1000} kB"
NO_TEXT = "its name is not UTF-8, or has control characters"
LEADS_OUT = "it is a link that leads out of the tenant's folder"


class Refused(OSError):
    """A file, or what is beyond a bound, with the reason."""

    def __init__(self, why: str) -> None:
        super().__init__(0, why)


def files_of(folder: Path, root: Path) -> Iterator[tuple[str, bytes | OSError]]:
    """Each file that is read by its path within the folder, hidden ones left out; the reason for one that is refused
    (the path is empty where that is the folder itself).

    `root` is the folder of all tenants. A link may lead to the tenant's folder, also where a volume keeps it as
    `root/..data/<tenant>`, and nowhere else.
    """
    tenant_folder = _TenantFolder(folder, root)
    files, left = 0, LARGEST_FOLDER
    for path, refused in _walked(folder, tenant_folder):
        shown = _shown(path)
        if refused is not None:
            yield shown, refused
            continue
        files += 1
        if files > MOST_FILES:
            yield shown, Refused(TOO_MANY)
            return
        content = tenant_folder.content(folder / path)
        left -= 0 if isinstance(content, OSError) else len(content)
        if left < 0:
            yield shown, Refused(TOO_MUCH)
            return
        yield shown, content


def content_of(path: Path) -> bytes | OSError:
    """A regular file's bytes; the reason where it is something else, or too large."""
    try:
        # Opening a pipe that nobody writes to would block.
        opened = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        return error
    with os.fdopen(opened, "rb") as file:
        if not stat.S_ISREG(os.fstat(opened).st_mode):
            return Refused("it is no regular file")
        try:
            raw = file.read(LARGEST_FILE + 1)
        except OSError as error:
            return error
    return Refused(TOO_LARGE) if len(raw) > LARGEST_FILE else raw


def is_read(path: str) -> bool:
    """Whether a file of a tenant's folder is read: YAML, SQL, JSON, and a template's reference tables."""
    return path.endswith(READ) or _REFERENCE.fullmatch(path) is not None


def is_text(name: str) -> bool:
    """Whether a name is UTF-8 without control characters, so that it can be shown and stored."""
    return name.isprintable()


class _TenantFolder:
    """A tenant's folder, with its links resolved."""

    def __init__(self, folder: Path, root: Path) -> None:
        self._name = folder.name
        self._folder, self._root = os.path.realpath(folder), os.path.realpath(root)

    def content(self, path: Path) -> bytes | OSError:
        return content_of(path) if self.holds(path) else Refused(LEADS_OUT)

    def holds(self, path: Path) -> bool:
        real = os.path.realpath(path)
        if real.startswith(self._folder + os.sep):
            return True
        if not real.startswith(self._root + os.sep):
            return False
        parts = real.removeprefix(self._root + os.sep).split(os.sep)
        return next((part for part in parts if not part.startswith(".")), None) == self._name


def _walked(folder: Path, tenant_folder: _TenantFolder) -> Iterator[tuple[Path, OSError | None]]:
    """Paths within the folder of the files to read, in order, and what stops the walk."""
    waiting, seen = [Path()], 0
    while waiting:
        within = waiting.pop()
        try:
            entries = sorted(_entries(folder / within, MOST_ENTRIES - seen))
        except OSError as error:
            yield within, error
            continue
        seen += len(entries)
        if seen > MOST_ENTRIES:
            yield within, Refused(f"the folder has more than {MOST_ENTRIES} files and folders")
            return
        below = []
        for name in entries:
            path = folder / within / name
            if name.startswith("."):
                continue
            if path.is_dir() and path.suffix in READ:
                yield within / name, Refused("it is a folder")
            elif path.is_dir():
                below.append(within / name)
            elif is_read(path.as_posix()):
                why = None if is_text(name) else Refused(NO_TEXT)
                yield within / name, why
        for path in reversed(below):
            if len(path.parts) > DEEPEST:
                yield path, Refused(f"folders lie more than {DEEPEST} levels deep")
            elif not tenant_folder.holds(folder / path):
                yield path, Refused(LEADS_OUT)
            elif not is_text(path.name):
                yield path, Refused(NO_TEXT)
            else:
                waiting.append(path)


def _entries(folder: Path, most: int) -> Iterator[str]:
    with os.scandir(folder) as scanned:
        for number, entry in enumerate(scanned):
            yield entry.name
            if number >= most:
                return


def _shown(path: Path) -> str:
    if path == Path():
        return ""
    return "".join(c if c.isprintable() else f"\\x{ord(c) & 0xFF:02x}" for c in path.as_posix())
