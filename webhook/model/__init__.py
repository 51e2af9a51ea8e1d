"""Frozen values and the parsers that make them. Pure: no I/O, no clock."""
