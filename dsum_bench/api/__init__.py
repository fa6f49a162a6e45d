"""The Python API: everything a command does, for notebooks and scripts."""
