"""Values to text, HTML, SVG and DOT: pure functions, no Jupyter, no torch, no MLX."""
