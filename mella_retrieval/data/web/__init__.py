"""What comes from the web: addresses that may be asked, a pace that hosts can bear, and pictures of records."""
