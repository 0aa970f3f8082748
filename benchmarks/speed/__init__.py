"""How fast a walk is, beside loops written by hand and beside published SDKs; see `benchmarks/README.md`."""
