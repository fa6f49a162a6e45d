"""Where results are kept: one SQLite file, written by one process, read by any number.

``writer`` needs sqlite-utils; ``reader`` needs the standard library only.
"""

DATABASE = "dsum.db"
"""Name of that file in a results folder."""
