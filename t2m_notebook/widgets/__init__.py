"""One anywidget per view, named as in ``render``; they take values and callbacks."""
