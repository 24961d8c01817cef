"""How good a map is, as sums over tiles."""
