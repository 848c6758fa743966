"""Annotated faces: the formats they come in, and a look at what a folder of them holds."""
