"""One call to the API: requests, answers, retries, and the connections they go over."""
