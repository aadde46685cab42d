"""How well each engine reads, bare and with each step of preprocessing: `make accuracy`."""
