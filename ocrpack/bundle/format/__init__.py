"""What a bundle is: manifest, archive, signature, measured samples.

The archive has one canonical byte form: everything is stored, in the manifest's order, with fixed dates and modes,
and nothing between the entries. So a set of files has one sequence of bytes, rebuilds are identical, and a reader can
check an archive by encoding what it read and comparing: an altered byte anywhere, two headers that disagree, data
before or after, are all the same finding. Nothing is deflated, since weights do not shrink and deflate's bytes differ
between versions of zlib. The descriptor and SETUP.md stand after the files whose digests they state, so every file is
read once.
"""
