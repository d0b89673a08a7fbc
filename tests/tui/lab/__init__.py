"""The language lab."""
