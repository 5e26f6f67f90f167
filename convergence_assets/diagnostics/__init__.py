"""Explains a deployment and a run: `doctor`, and the evidence of `diagnose`."""
