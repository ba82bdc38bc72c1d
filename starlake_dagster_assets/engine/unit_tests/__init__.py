"""Unit tests of loads and transforms (`metadata/tests`): discovery, isolation, run, comparison."""
