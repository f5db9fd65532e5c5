"""Conditions: what must hold for a document to count."""
