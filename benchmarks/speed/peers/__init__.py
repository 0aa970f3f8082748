"""Published clients and handwritten loops that walk the same list, written as in their documentation."""
