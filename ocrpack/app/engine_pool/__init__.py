"""Read pages in processes of their own: `pool` has the queue, `processes` starts them, `worker` runs in them."""
