"""Costs of the package, each compared with a floor that is measured in the same run: `python -m benchmarks`."""
