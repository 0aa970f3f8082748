"""From JSON to records and back."""
