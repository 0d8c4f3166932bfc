"""Played recipients; see README.md."""
