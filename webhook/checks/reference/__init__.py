"""Checks 1xx: what the text of an image says, before anything is looked up."""
