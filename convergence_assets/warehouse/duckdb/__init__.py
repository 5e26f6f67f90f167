"""The embedded warehouse: BigQuery SQL on one DuckDB file per dataset."""
