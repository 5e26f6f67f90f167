"""The embedded warehouse: BigQuery SQL, transpiled, on one DuckDB file per dataset."""
