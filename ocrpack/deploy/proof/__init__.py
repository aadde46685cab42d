"""Whether an app reads right: health, samples, and the comparison with what serves.

A candidate is compared where it costs nothing: the running release still answers on its private socket during the
gate, so both read the same images on the same machine in the same minute.
"""
