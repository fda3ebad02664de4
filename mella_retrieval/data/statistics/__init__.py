"""What a records folder holds, counted in one pass with about 45 bytes of memory a record."""
