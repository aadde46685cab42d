"""The processes that read, and the queue of pages before them."""
