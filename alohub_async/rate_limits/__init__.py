"""The rate limit: what the server reports (`headers`), what may go when (`bucket`), which goes next (`scheduler`)."""
