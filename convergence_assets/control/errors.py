"""The errors of the control store that people see; light to import."""

import sqlite3


class ControlError(Exception):
    """The control store cannot be used, or refuses; the message gives the reason and the next step."""


class DamagedStore(ControlError):
    """The control store's file is corrupted."""


def is_damage(error: object) -> bool:
    """Whether SQLite reports a file as malformed or no database: its error is then a plain DatabaseError. For a lock, a
    missing permission or a full disk it is of a subclass."""
    return type(error) is sqlite3.DatabaseError
