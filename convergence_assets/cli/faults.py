"""A fault of the machine in one sentence: a full or read-only disk, a file that is damaged."""

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
    for cause in _causes(error):
        if isinstance(cause, OSError) and cause.errno in _DISK:
            file = f"{cause.filename}: " if cause.filename else ""
            return (
                f"{file}{_DISK[cause.errno]} ({cause.strerror}). {_SAFE} Next: `convergence doctor` says what is wrong"
            )
        if type(cause).__module__ == "sqlite3":
            damage = next((words for sign, words in _OF_SQLITE.items() if sign in str(cause)), None)
            if damage is not None:
                home = os.environ.get("DAGSTER_HOME", "its home")
                repair = (
                    "`convergence doctor --repair` makes it anew" if "damaged" in damage else "`convergence doctor`"
                )
                return f"a file of Dagster's storage in {home} {damage} ({cause}). {_SAFE} Next: {repair}"
    return None


def _causes(error: BaseException) -> Iterator[BaseException]:
    seen: set[int] = set()
    cause: BaseException | None = error
    while cause is not None and id(cause) not in seen:
        seen.add(id(cause))
        yield cause
        cause = getattr(cause, "orig", None) or cause.__cause__ or cause.__context__
