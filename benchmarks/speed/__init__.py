"""The speed of a walk compared with handwritten loops and published SDKs; see `benchmarks/README.md`."""
