"""The MLLM side: describe, translate, fine-tune, score."""
