"""Collecting `know`: native texts of pictures from web pages, by filters that give their reasons."""
