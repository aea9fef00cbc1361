"""A network that draws layouts."""
