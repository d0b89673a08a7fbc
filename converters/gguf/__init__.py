"""GGUF files: written, quantized, and computed with to compare them with their sources."""
