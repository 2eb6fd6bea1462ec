"""Tests of values as text and HTML, with made-up reports."""
