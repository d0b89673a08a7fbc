"""Which weights matter, measured on text of many languages: what quantization spares, and for whom."""
