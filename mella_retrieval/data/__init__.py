"""Records: reading, checking, storing and describing image-text pairs."""
