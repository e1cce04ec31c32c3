"""One module per recorded part; each yields the cases that ``check.py`` prints."""
