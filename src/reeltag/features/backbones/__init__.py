"""Networks behind the extractors, run by ONNX Runtime."""
