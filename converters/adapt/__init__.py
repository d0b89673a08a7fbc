"""Converters that make a model one for certain languages."""
