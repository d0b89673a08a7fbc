"""Models as ONNX graphs, from the folder to the endpoint."""
