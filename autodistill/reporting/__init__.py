"""Summarises a study, then draws it: for the terminal, as tables, pictures and a page."""
