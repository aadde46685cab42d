"""The machine: files, processes, sockets, memory. Nothing here knows what a deployment is."""
