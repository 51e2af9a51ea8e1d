"""Serving certificates: making them (pure) and rotating them (I/O)."""
