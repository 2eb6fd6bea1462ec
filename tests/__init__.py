"""The tests, laid out as the package is: who looks for `render/tree.py` finds `render/test_tree.py`."""
