"""Whether a reader's own Google project is fit for the platform, and a report that says so."""
