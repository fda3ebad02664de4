"""LECCR's head: slots that read tokens of pictures and of their descriptions (arXiv 2409.19961)."""
