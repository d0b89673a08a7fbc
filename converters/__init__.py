"""Checkpoint in, artefact out: convert, quantize and adapt models to GGUF and ONNX."""
