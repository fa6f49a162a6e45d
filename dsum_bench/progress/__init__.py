"""What a person or a program is shown while a sweep or a training runs."""
