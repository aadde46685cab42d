"""Bring files from elsewhere, with their hashes checked."""
