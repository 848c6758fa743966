"""Stylised painters: each a domain of its own, with its own line, colour and geometry."""
