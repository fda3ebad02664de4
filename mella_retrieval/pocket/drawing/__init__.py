"""Vector drawings of the pocket world: a brush, one function per thing, backgrounds."""
