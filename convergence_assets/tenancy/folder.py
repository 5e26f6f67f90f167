"""The tenants folder, local or behind an fsspec URL, as bytes by relative path."""

from collections.abc import Mapping
from pathlib import Path

Files = Mapping[str, bytes]

_READ = (".yaml", ".sql", ".json")


class UnreadableFolder(OSError):
    """The tenants folder cannot be listed; the message says which and why."""


def read_folder(tenants: str) -> dict[str, dict[str, bytes]]:
    """Every tenant folder's files, and under the name "" the files that lie beside them.

    Only YAML, SQL and JSON count. Raises `UnreadableFolder`.
    """
    found: dict[str, dict[str, bytes]] = {"": {}}
    for path, raw in (_remote(tenants) if "://" in tenants else _local(Path(tenants))).items():
        first, _, rest = path.partition("/")
        if not rest:
            found[""][first] = raw
        elif not first.startswith("."):
            found.setdefault(first, {})[rest] = raw
    return found


def _local(root: Path) -> dict[str, bytes]:
    if not root.is_dir():
        raise UnreadableFolder(
            f"tenants folder {root} does not exist; set CONVERGENCE_TENANTS or run from the project's folder"
        )
    try:
        files = {
            f.relative_to(root).as_posix(): f for f in sorted(root.rglob("*")) if f.suffix in _READ and f.is_file()
        }
        # A tenant folder without any file is an unfinished onboarding, and is reported as one.
        empty = {f"{d.name}/.empty": b"" for d in root.iterdir() if d.is_dir() and not d.name.startswith(".")}
        return {**empty, **{path: f.read_bytes() for path, f in files.items()}}
    except OSError as error:
        raise UnreadableFolder(f"tenants folder {root}: {error}") from error


def _remote(url: str) -> dict[str, bytes]:
    import fsspec

    try:
        filesystem, root = fsspec.core.url_to_fs(url)
        paths = [p for p in filesystem.find(root) if p.endswith(_READ)]
        contents = filesystem.cat(paths) if paths else {}
    except (OSError, ImportError, ValueError) as error:
        raise UnreadableFolder(f"tenants folder {url}: {error}") from error
    prefix = root.rstrip("/") + "/"
    return {path.removeprefix(prefix).lstrip("/"): raw for path, raw in sorted(contents.items())}
