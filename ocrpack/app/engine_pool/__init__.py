"""The processes that read, and the queue of pages before them.

One web process, and an engine process for each core: with a queue of its own in each of several web processes, one
could be idle while another has work waiting. An engine's library gets one thread: two of them on two cores read more
pages than one with two threads. The processes are forks of one that has the model loaded, and so share its memory.
JSON, not pickle, comes back, since what reads strangers' files is not to be trusted.
"""
