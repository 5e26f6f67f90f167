"""Alerts to people: incidents, their recipients, and delivery."""
