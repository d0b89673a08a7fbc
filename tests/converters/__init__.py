"""Tests of `converters`."""
