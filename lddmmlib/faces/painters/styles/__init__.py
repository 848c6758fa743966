"""Stylised painters, each with its own line, colour and geometry, so that each is a domain of its own."""
