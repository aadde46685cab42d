"""The Python packages of a bundle: which, in which versions, and their wheels."""
