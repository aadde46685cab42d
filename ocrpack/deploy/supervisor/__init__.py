"""The process that owns the public address, and the generations that it starts, watches and retires.

`python -m ocrpack.deploy.supervisor` stands in installed systemd units. This file imports nothing: the supervisor and
the log writer run for months and stay light.
"""
