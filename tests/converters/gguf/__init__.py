"""Tests of `converters.gguf`."""
