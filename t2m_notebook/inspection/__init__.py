"""Looking inside while code runs: what both frameworks share, and MLX's own side. Knows no torch."""
