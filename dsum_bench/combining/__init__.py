"""Several runs together: votes between them, and what ranks or joins them."""
