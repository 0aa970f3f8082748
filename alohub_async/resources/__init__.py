"""What the API offers, one class for each kind of record."""
