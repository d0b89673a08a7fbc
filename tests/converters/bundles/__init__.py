"""Tests of `converters.bundles`."""
