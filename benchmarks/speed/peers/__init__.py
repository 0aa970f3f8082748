"""Published clients, and loops written by hand, walking the same list as their documentation shows."""
