"""Log lines of every process of the platform: JSON on stdout for machines, text on a terminal."""
