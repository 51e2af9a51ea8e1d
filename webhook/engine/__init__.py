"""Pure: from checks and facts to findings, from findings and policy to a decision, from a decision to words."""
