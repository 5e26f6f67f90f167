"""What needs a transaction: locks now, other state of the platform as it comes; SQLite, or Dagster's Postgres."""
