"""How the two frozen towers of the pocket world were made."""
