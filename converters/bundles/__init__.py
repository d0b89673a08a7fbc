"""A model for a language as one recipe: `demotic bundle`."""
