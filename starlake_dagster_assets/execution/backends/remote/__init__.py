"""Execution environments in a cloud or cluster, all driven by one loop (`runner`, `handle`) over one protocol."""
