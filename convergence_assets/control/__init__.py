"""The control store: all state of the platform that needs a transaction, on SQLite or Dagster's Postgres."""
