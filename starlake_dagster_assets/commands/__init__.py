"""Starlake commands, their events and results, and what they need of a project; nothing here runs them."""
