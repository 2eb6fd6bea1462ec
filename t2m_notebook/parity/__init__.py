"""Is the MLX value torch's value? Compared in a process of its own, node by node."""
