"""From a model's name to files that are safe to load."""
