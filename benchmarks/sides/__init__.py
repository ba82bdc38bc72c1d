"""What is measured, each side in a process of its own; a module a subject."""
