"""What can be said before anything runs: what a search would do, what is up to date, what the settings mean."""
