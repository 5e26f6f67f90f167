"""The `convergence` command."""
