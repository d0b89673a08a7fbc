"""Tests of giving a model another tokenizer."""
