"""What the models call by @name."""
