"""Decodes JSON to records, and encodes updates to JSON."""
