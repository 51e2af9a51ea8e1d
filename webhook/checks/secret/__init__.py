"""Checks 3xx: pull secrets as the kubelet sees them, and whether one of them can open the image's registry."""
