"""Tile sets: aligned pairs of tiles, built, divided and indexed."""
