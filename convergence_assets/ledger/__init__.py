"""Follows Dagster's event log into the runs index and the `x_meta_*` tables."""
