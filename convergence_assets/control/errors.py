"""The one failure of the control store that people meet; light to import."""

import sqlite3


class ControlError(Exception):
    """The control store cannot be used, or refuses; the message says why and what to do next."""


class DamagedStore(ControlError):
    """The control store's file is not what it was written as."""


def is_damage(error: object) -> bool:
    """Whether SQLite says that a file is malformed, or no database at all: its error is then of no kind of its own. A
    lock, a right and a full disk are."""
    return type(error) is sqlite3.DatabaseError
