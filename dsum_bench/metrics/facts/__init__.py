"""The metric ``facts``: which numbers, names, negations and speakers of a summary its dialogue does not bear out."""
