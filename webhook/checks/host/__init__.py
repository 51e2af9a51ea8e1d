"""Checks 2xx: the registry host of an image, judged by the catalogue. An image gets one of them at most: the best."""
