"""Measure how well each engine reads, alone and with each step of preprocessing: `make accuracy`."""
