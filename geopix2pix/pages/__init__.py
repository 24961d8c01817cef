"""Pages of HTML that are one file each and ask nothing of a network."""
