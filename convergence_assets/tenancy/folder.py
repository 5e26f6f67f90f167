"""The tenants folder, local or at an fsspec URL, as bytes by relative path."""

from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from convergence_assets.pipelines.problems import Problem, nearest
from convergence_assets.tenancy.local_files import (
    LARGEST_FILE,
    LARGEST_FOLDER,
    LEADS_OUT,
    MOST_FILES,
    NO_TEXT,
    READ,
    TOO_LARGE,
    TOO_MANY,
    TOO_MUCH,
    Refused,
    content_of,
    files_of,
    is_read,
    is_text,
)

Files = Mapping[str, bytes]


class UnreadableFolder(OSError):
    """The tenants folder cannot be listed, or lacks a requested tenant; the message has which and why."""


@dataclass
class Folder:
    """What was read: the files next to the tenants' folders, each tenant's files, and what could not be read.

    A tenant's folder without any file is there with none: an unfinished onboarding, to be reported as one.
    """

    beside: dict[str, bytes] = field(default_factory=dict)
    tenants: dict[str, dict[str, bytes]] = field(default_factory=dict)
    unreadable: dict[str, list[Problem]] = field(default_factory=dict)


def read_folder(tenants: str, only: Collection[str] | None = None) -> Folder:
    """Every YAML, SQL and JSON file below `tenants`, hidden ones left out; of no tenant but `only`, where given.

    Raises `UnreadableFolder`, also for one of `only` that has no folder.
    """
    folder = Folder()
    for path, raw in _remote(tenants, only) if "://" in tenants else _local(Path(tenants), only):
        first, _, rest = path.partition("/")
        if any(part.startswith(".") for part in path.split("/")):
            continue
        if not rest and raw is None:
            folder.tenants.setdefault(first, {})
        elif isinstance(raw, OSError):
            why = raw.strerror or type(raw).__name__
            problem = Problem(
                f"{tenants.rstrip('/')}/{path}", None, "", f"cannot be read: {why}", reaches_out=why == LEADS_OUT
            )
            folder.unreadable.setdefault(first, []).append(problem)
            if rest:
                folder.tenants.setdefault(first, {})
        elif raw is not None:
            files = folder.tenants.setdefault(first, {}) if rest else folder.beside
            files[rest or first] = raw
    return folder


def _local(root: Path, only: Collection[str] | None) -> Iterator[tuple[str, bytes | OSError | None]]:
    """Path and content; None is a folder, an error a file that cannot be read."""
    if not root.is_dir():
        raise UnreadableFolder(
            f"tenants folder {root} does not exist; set CONVERGENCE_TENANTS or run from the project's folder"
        )
    try:
        entries = sorted(root.iterdir())
        folders = [entry for entry in entries if entry.is_dir() and (only is None or entry.name in only)]
    except OSError as error:
        raise UnreadableFolder(f"tenants folder {root}: {error}") from error
    if only is not None:
        _require_all(str(root), only, {entry.name for entry in entries if entry.is_dir()})
    for entry in entries:
        if entry.suffix in READ and not entry.is_dir():
            yield entry.name, content_of(entry)
    for folder in folders:
        if folder.name.startswith("."):
            continue
        if not is_text(folder.name):
            shown = folder.name.encode("utf-8", "backslashreplace").decode()
            yield shown, None
            yield f"{shown}/", Refused(NO_TEXT)
            continue
        yield folder.name, None
        yield from ((f"{folder.name}/{path}", content) for path, content in files_of(folder, root))


def _remote(url: str, only: Collection[str] | None) -> Iterator[tuple[str, bytes | OSError]]:
    import fsspec

    try:
        filesystem, root = fsspec.core.url_to_fs(url)
        filesystem.invalidate_cache()
        prefix = root.rstrip("/") + "/"
        sizes = {p: info.get("size") or 0 for p, info in filesystem.find(root, detail=True).items() if is_read(p)}
        paths = {p: p.removeprefix(prefix).lstrip("/") for p in sizes}
        existing = {path.partition("/")[0] for path in paths.values() if "/" in path}
        if only is not None:
            paths = {p: path for p, path in paths.items() if "/" not in path or path.partition("/")[0] in only}
        refused = dict(_beyond_bounds(paths, sizes))
        within = [p for p in paths if p not in refused]
        contents: dict[str, bytes | OSError] = {**(filesystem.cat(within) if within else {}), **refused}
    except Exception as error:  # each kind of store raises errors of its own
        raise UnreadableFolder(f"tenants folder {url}: {error or type(error).__name__}") from error
    if not contents:
        raise UnreadableFolder(f"tenants folder {url} is empty or does not exist; set CONVERGENCE_TENANTS")
    if only is not None:
        _require_all(url, only, existing)
    for path, raw in sorted(contents.items()):
        yield paths[path], raw


def _beyond_bounds(paths: Mapping[str, str], sizes: Mapping[str, int]) -> Iterator[tuple[str, OSError]]:
    """Of files in a store, those that are too large, and those of a tenant that has too many."""
    files, read = Counter[str](), Counter[str]()
    for stored, path in sorted(paths.items()):
        tenant, size = path.partition("/")[0] if "/" in path else "", sizes[stored]
        files[tenant] += 1
        read[tenant] += size
        if size > LARGEST_FILE:
            yield stored, Refused(TOO_LARGE)
        elif tenant and files[tenant] > MOST_FILES:
            yield stored, Refused(TOO_MANY)
        elif tenant and read[tenant] > LARGEST_FOLDER:
            yield stored, Refused(TOO_MUCH)


def _require_all(shown: str, only: Collection[str], existing: Collection[str]) -> None:
    for name in sorted(only):
        if name not in existing:
            near = nearest(name, existing)
            hint = f"did you mean {near!r}?" if near else "CONVERGENCE_ONLY_TENANTS or the command names it"
            raise UnreadableFolder(f"there is no tenant {name!r} in {shown}; {hint}")
