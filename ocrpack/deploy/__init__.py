"""The deployer's wing: a bundle becomes a service.

Its folders, each of which imports those before it: `system` (the machine), `store` (what lies on the target), `proof`
(does it read right), `systemd`, `app_server` (what runs inside a generation), `supervisor`, `tracking`, `steps` (what a
deploy does) and `operations` (what a person asks for; begin with `operations/deploy.py`).

The supervisor and the log writer are run as modules of this package and must stay light, so this file imports nothing.
"""
