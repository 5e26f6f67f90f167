"""Tenant configuration to Dagster assets, and what one of them does when it runs."""
