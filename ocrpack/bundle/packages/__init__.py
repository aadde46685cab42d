"""The Python packages of a bundle: which, in which versions, and their wheels.

The lock is a requirements file: pip and uv install it as it is, and a person can read it. It has comments for what
neither asks for: licences, what a carried wheel was built from, and a digest of the requirements it was made from, by
which a later build knows that it need not resolve again. What has no hash, a commit or a folder, is built into a
wheel in the bundle, so that `--require-hashes` holds for everything.
"""
