"""How the heads of `lddmmlib.faces` were derived from real annotations: `python -m data_scripts.heads`."""
