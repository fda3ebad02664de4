"""Near-duplicates: pictures by a perceptual hash, texts by MinHash, and the groups that they form."""
