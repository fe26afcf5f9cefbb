"""Summarizes a study and draws it: in the terminal, as tables, as pictures, and as a page."""
