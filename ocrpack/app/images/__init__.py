"""Decode images, TIFFs of many pages, and PDFs into upright RGB pictures."""
