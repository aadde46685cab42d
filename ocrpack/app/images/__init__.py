"""Bytes become pictures: images, TIFFs and PDFs."""
