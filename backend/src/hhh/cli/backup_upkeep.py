"""``hhh backup pin|unpin|delete|prune``: what is kept."""
