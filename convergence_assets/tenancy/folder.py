"""The tenants folder, local or behind an fsspec URL, as bytes by relative path."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from convergence_assets.pipelines.problems import Problem

Files = Mapping[str, bytes]

_READ = (".yaml", ".sql", ".json")


class UnreadableFolder(OSError):
    """The tenants folder cannot be listed; the message says which and why."""


@dataclass
class Folder:
    """What was read: the files that lie beside the tenants' folders, each tenant's files, and what could not be read.

    A tenant's folder without any file is there with none: an unfinished onboarding, to be reported as one.
    """

    beside: dict[str, bytes] = field(default_factory=dict)
    tenants: dict[str, dict[str, bytes]] = field(default_factory=dict)
    unreadable: dict[str, list[Problem]] = field(default_factory=dict)


def read_folder(tenants: str) -> Folder:
    """Every YAML, SQL and JSON file below `tenants`, hidden ones left out. Raises `UnreadableFolder`."""
    folder = Folder()
    for path, raw in _remote(tenants) if "://" in tenants else _local(Path(tenants)):
        first, _, rest = path.partition("/")
        if any(part.startswith(".") for part in path.split("/")):
            continue
        if not rest and raw is None:
            folder.tenants.setdefault(first, {})
        elif isinstance(raw, OSError):
            why = raw.strerror or type(raw).__name__
            problem = Problem(f"{tenants.rstrip('/')}/{path}", None, "", f"cannot be read: {why}")
            folder.unreadable.setdefault(first, []).append(problem)
        elif raw is not None:
            files = folder.tenants.setdefault(first, {}) if rest else folder.beside
            files[rest or first] = raw
    return folder


def _local(root: Path) -> Iterator[tuple[str, bytes | OSError | None]]:
    """Path and content; None is a folder, an error a file that cannot be read."""
    if not root.is_dir():
        raise UnreadableFolder(
            f"tenants folder {root} does not exist; set CONVERGENCE_TENANTS or run from the project's folder"
        )
    try:
        found = sorted(root.rglob("*"))
        folders = [entry for entry in root.iterdir() if entry.is_dir()]
    except OSError as error:
        raise UnreadableFolder(f"tenants folder {root}: {error}") from error
    yield from ((folder.name, None) for folder in folders)
    for file in found:
        if file.suffix in _READ:
            path = file.relative_to(root).as_posix()
            try:
                yield path, file.read_bytes()
            except OSError as error:
                yield path, error


def _remote(url: str) -> Iterator[tuple[str, bytes]]:
    import fsspec

    try:
        filesystem, root = fsspec.core.url_to_fs(url)
        filesystem.invalidate_cache()
        paths = [p for p in filesystem.find(root) if p.endswith(_READ)]
        contents = filesystem.cat(paths) if paths else {}
    except Exception as error:  # each kind of store raises errors of its own
        raise UnreadableFolder(f"tenants folder {url}: {error or type(error).__name__}") from error
    if not contents:
        raise UnreadableFolder(f"tenants folder {url} is empty or does not exist; set CONVERGENCE_TENANTS")
    prefix = root.rstrip("/") + "/"
    for path, raw in sorted(contents.items()):
        yield path.removeprefix(prefix).lstrip("/"), raw
