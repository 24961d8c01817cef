"""The algorithms of the Processing toolbox, one per file."""
