"""A screening, from the request to the stored scores."""
