"""What the machine does to a command, in one sentence: a full or read-only disk, a file that is damaged."""

import errno
import os
from collections.abc import Iterator

_DISK = {
    errno.ENOSPC: "the disk is full",
    errno.EDQUOT: "the disk's quota is used up",
    errno.EROFS: "the disk is read-only",
    errno.EACCES: "this user may not",
    errno.EPERM: "this user may not",
    errno.EIO: "the disk fails",
}
_OF_SQLITE = {
    "malformed": "is damaged", "not a database": "is damaged", "disk is full": "cannot be written: the disk is full",
    "readonly": "cannot be written", "unable to open": "cannot be opened", "disk I/O": "cannot be read or written",
}  # fmt: skip
_SAFE = "What was published stays as it was."


def of_the_machine(error: BaseException) -> str | None:
    """The sentence, with the next step; None for an error that is none of these."""
    for one in _causes(error):
        if isinstance(one, OSError) and one.errno in _DISK:
            named = f"{one.filename}: " if one.filename else ""
            return f"{named}{_DISK[one.errno]} ({one.strerror}). {_SAFE} Next: `convergence doctor` says what is wrong"
        if type(one).__module__ == "sqlite3":
            what = next((words for sign, words in _OF_SQLITE.items() if sign in str(one)), None)
            if what is not None:
                place = os.environ.get("DAGSTER_HOME", "its home")
                repair = "`convergence doctor --repair` makes it anew" if "damaged" in what else "`convergence doctor`"
                return f"a file of Dagster's storage in {place} {what} ({one}). {_SAFE} Next: {repair}"
    return None


def _causes(error: BaseException) -> Iterator[BaseException]:
    seen: set[int] = set()
    found: BaseException | None = error
    while found is not None and id(found) not in seen:
        seen.add(id(found))
        yield found
        found = getattr(found, "orig", None) or found.__cause__ or found.__context__
