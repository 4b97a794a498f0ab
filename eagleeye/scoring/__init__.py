"""How candidates are scored, compared and ranked."""
