"""The checks: one file each, in folders by area. See base.py for the contract and CONTRIBUTING.md for how to add one."""
