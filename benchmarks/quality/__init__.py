"""How good models are, language by language."""
