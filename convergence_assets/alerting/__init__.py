"""Alerts to people: incidents, who is told, and telling them."""
