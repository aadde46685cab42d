"""The process that owns the public address, and the generations that it starts, watches and retires.

While the supervisor lives, a killed master's workers finish what they have, and connections wait for its successor.
Busy is not hung: a saturated app answers no probe in time, so workers note when they finish requests, and only an app
that neither answers nor finishes anything is ended. The app's output is a named pipe that the app itself holds open
at both ends, so it never writes to a broken one, and its reader, the log writer, can be killed and replaced.

`python -m ocrpack.deploy.supervisor` stands in installed systemd units. This file imports nothing: the supervisor and
the log writer run for months and stay light.
"""
