"""One module a command, of the same name; `command` is its function. `ocrpack.cli.registry` puts them in order."""
