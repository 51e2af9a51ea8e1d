"""What is known of the world's registries, as data, and what only looks like one of them. Pure."""
