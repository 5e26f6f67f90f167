"""Dagster's event log followed into the runs index and the `x_meta_*` tables."""
