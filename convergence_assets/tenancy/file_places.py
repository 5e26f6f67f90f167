"""Where a tenant's files may lie: its folder of the landing zone, a bucket's folder, and folders that it is granted."""

import os
import re
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import urlsplit

from convergence_assets.pipelines.problems import Problem, nearest
from convergence_assets.tenancy.grants import refused_without

SCHEMES = ("gs", "s3", "abfs", "https")
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")
_HOST = re.compile(r"[a-z0-9-]+(\.[a-z0-9-]+)*(:(?!443$)[1-9][0-9]{0,4})?")
_PATTERN = re.compile(r"[*?\[{]")


@dataclass(frozen=True)
class FilePlaces:
    """`folder` is the tenant's of the landing zone; `granted` are further folders that the operator gives it."""

    tenant_id: str
    folder: Path = Path()
    granted: tuple[str, ...] = ()

    def refused(self, pattern: str, at: Problem) -> Problem | None:
        """A problem at `at` where a step may not read files by this pattern."""
        at = replace(at, reaches_out=True)
        if "::" in pattern:
            return replace(at, message="one place within another (::) is not read", expected=self._expected)
        scheme = _SCHEME.match(pattern)
        if scheme and scheme[1] not in SCHEMES:
            near = nearest(scheme[1], SCHEMES)
            return replace(at, message=f"{scheme[1]}:// is not read", expected=self._expected, suggestion=near)
        if scheme and scheme[1] == "https" and re.search(r"[*\[]", pattern):
            return replace(at, message="a URL names one file", expected="a URL without * and [")
        place = fixed_part(pattern)
        if scheme and scheme[1] == "https" and "@" in urlsplit(place).netloc:
            message = "a name or a password in a URL is read by whoever reads this file"
            return replace(at, message=message, expected="a URL without them")
        if ".." in pattern.split("/"):
            return replace(at, message=".. leads out of a folder", expected=self._expected)
        unclear = _not_plain(scheme[1], pattern) if scheme else None
        if unclear:
            return replace(at, message=unclear, expected="one spelling of a place, so that it is known whose it is")
        if self.granted_folder(pattern) is not None:
            return None
        if scheme is None:
            if is_within(os.path.abspath(place), str(self.folder)):
                return None
            message = f"{place or '.'} is no folder of this tenant's"
        elif "/" in place.partition("://")[2]:
            return None
        else:
            message = "a whole bucket, or a host, is no tenant's"
        problem = replace(at, message=message, expected=self._expected)
        return refused_without({"access": {self.tenant_id: {"files": [place]}}}, problem)

    def granted_folder(self, pattern: str) -> str | None:
        """The folder that the operator gives the tenant and that the pattern stays within."""
        place = _absolute(fixed_part(pattern))
        return next((folder for folder in self.granted if is_within(place, _absolute(folder))), None)

    def local_folder(self, pattern: str) -> str | None:
        """The local folder that no file of the pattern may lead out of; None for remote ones."""
        if _SCHEME.match(pattern):
            return None
        return self.granted_folder(pattern) or str(self.folder)

    @property
    def _expected(self) -> str:
        return f"a path below {self.folder}, or a folder of its own in {', '.join(f'{s}://' for s in SCHEMES)}"


def _not_plain(scheme: str, pattern: str) -> str | None:
    """Why a remote path could be another one than it looks: what its server leaves out or spells otherwise."""
    path = pattern.partition("://")[2]
    if scheme == "https":
        path = re.split(r"[?#]", path, maxsplit=1)[0]
        if "%" in path or "\\" in path or not _HOST.fullmatch(path.partition("/")[0]):
            return "the URL is not in its plain form: a host in small letters, no port 443 and no %"
    if any(segment in ("", ".") for segment in path.split("/")):
        return "the path has an empty segment, or ."
    return None


def fixed_part(pattern: str) -> str:
    """The folder that a pattern stays within: its whole segments before the first that has a date or a wildcard."""
    segments = pattern.split("/")
    fixed = next((i for i, segment in enumerate(segments) if _PATTERN.search(segment)), len(segments) - 1)
    return "/".join(segments[:fixed]) or ("/" if pattern.startswith("/") else "")


def one_spelling(place: str) -> str:
    """One spelling for a place: an Azure container with its storage account, which is the environment's where the path
    names none."""
    scheme, _, path = place.partition("://")
    if scheme != "abfs":
        return place
    container, slash, rest = path.partition("/")
    container, _, host = container.partition("@")
    account = host.partition(".")[0] or os.environ.get("AZURE_STORAGE_ACCOUNT_NAME", "")
    return f"abfs://{container}@{account.lower()}{slash}{rest}"


def is_within(place: str, folder: str) -> bool:
    """Whether a path is a folder or lies in it, by whole segments."""
    return place == folder or place.startswith(folder.rstrip("/") + "/")


def _absolute(place: str) -> str:
    return place.rstrip("/") if _SCHEME.match(place) else os.path.abspath(place)
