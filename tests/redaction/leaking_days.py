"""The days on which `leaking_definitions` says its secrets: by what it raises, or by SQL."""

from datetime import date

BY_EXCEPTION, BY_SQL = date(2026, 3, 2), date(2026, 3, 3)
