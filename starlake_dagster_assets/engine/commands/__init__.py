"""The commands of the real program, answered by the embedded engine."""
