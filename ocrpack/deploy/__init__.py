"""The deployer's wing: a bundle becomes a service.

Reading order: `pipeline.py` (deploy from top to bottom) and `operate.py` (what comes after), then the stages in their
order: `root.py`, `preflight.py`, `release.py`, `environment.py`, `secret.py`, `control.py` and `supervisor.py` with
`generation.py`, `gate.py` and `instance_log.py`, `check.py`, `revision.py`, `switch.py`.

The supervisor and the log writer are run as modules of this package and must stay light, so this file imports nothing.
"""
