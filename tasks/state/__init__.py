"""What outlives a kill: scores and results on record, found by content."""
