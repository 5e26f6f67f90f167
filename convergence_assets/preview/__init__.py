"""What a change of files would do to published rows, before it is made, and which published days are older than one."""
