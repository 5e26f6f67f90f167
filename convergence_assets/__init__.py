"""Convergence: a multi-tenant cloud-cost data platform on Dagster and BigQuery."""
