"""Adapters in formats that other programs load: `sentence-transformers` (one folder of stock modules) and `onnx`."""
