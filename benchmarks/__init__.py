"""Comparisons with what people would run instead; `make bench` runs them. Not part of the package."""
