"""Who runs long work, and when: the queue, the lease, the life cycle of a worker."""
