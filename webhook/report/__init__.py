"""Findings as text, JSON, SARIF, JUnit and HTML. Pure."""
