"""Scoring generated texts: what an MLLM says of pictures, against what people wrote of them."""
