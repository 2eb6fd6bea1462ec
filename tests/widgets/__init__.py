"""Tests of the views in a notebook, as far as they need no browser."""
