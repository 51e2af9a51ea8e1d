"""Checks 4xx: whether the images' operating system, CPU and Windows build are those of the nodes it can land on."""
