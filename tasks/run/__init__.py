"""How a stage is run: walk, locks, maps of items, terminal."""
