"""Where results are kept: one SQLite file, written by one process, read by any number.

``writer`` needs sqlite-utils (which loads pandas when that is installed); ``reader`` needs the standard library only.
"""
