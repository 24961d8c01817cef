"""Vectors drawn as maps by a style."""
