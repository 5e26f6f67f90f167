"""Tables in FOCUS's columns as files: what the specification wants of columns, times, numbers and nulls."""
