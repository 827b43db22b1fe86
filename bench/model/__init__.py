"""A model server for the bench: lean, paced, and it notes when its connections were closed."""
