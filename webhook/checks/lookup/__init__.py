"""Checks 9xx: what could not be looked up. Unknown is a result of its own: never reported as fine, nor as broken."""
