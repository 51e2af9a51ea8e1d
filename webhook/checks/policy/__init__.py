"""Checks 8xx: policy and configuration."""
