"""Unit tests of loads and transforms (`metadata/tests`): discovery, isolation, run, comparison.

- `discovery`: the tests of a project
- `files`: the files of a test
- `isolation`: a project for one test
- `run`: runs of tests
- `comparison`, `values`: rows and values that are compared
"""
