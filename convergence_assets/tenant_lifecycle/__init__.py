"""Onboards, migrates and removes tenants."""
