"""Texts from one language to another: how models are told of languages, and documents in pieces."""
