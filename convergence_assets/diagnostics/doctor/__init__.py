"""What can be wrong with a set-up, and what to do about each."""
