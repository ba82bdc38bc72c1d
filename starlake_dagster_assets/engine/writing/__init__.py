"""Rows become tables: strategies, transactions, audit, expectations."""
