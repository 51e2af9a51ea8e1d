"""What to do about a cause: one file per vendor, one function per cause."""
