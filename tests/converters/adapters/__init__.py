"""Tests of `converters.adapters`."""
