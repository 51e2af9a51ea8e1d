"""The checks: one file each, in folders by area. base.py is the contract; CONTRIBUTING.md says how to add one."""
