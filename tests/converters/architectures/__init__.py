"""Tests of `converters.architectures`."""
