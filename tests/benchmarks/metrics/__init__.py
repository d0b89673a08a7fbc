"""Measures of answers against hand-made cases and reference implementations."""
