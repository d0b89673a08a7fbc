"""Checkpoints as ONNX: graphs that onnxruntime computes without torch."""
