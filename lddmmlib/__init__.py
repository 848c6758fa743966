"""lddmmlib: face alignment from five papers, every component explicit.

>>> import lddmmlib
>>> lddmmlib.__version__
'0.1.0'
"""

__version__ = "0.1.0"
