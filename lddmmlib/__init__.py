"""lddmmlib: face alignment from five papers, every component explicit.

The floor plan, lowest floor first. A module imports only from floors below its own, or from its left on the same line.

0  trusted tools        `_checks` `_shapes` · `curves` (a face as curves) · `_engine` (what only makes the
                        mathematics fast: nothing there is needed to understand a paper)
1  mathematics          `kernels` `currents` `flows` `matching` (LDDMM, paper A) · `lars` (paper B) · `heatmaps`
                        (paper C) · `optimal_transport` (paper E) · `polyharmonic` (paper D)
2  faces and data       `faces` (annotation schemes, statistics, drawn faces) · `data` (annotation files, crops,
                        augmentation) · `metrics`
3  networks             `networks` (HRNetV2, stacked hourglass, DAN, their heads, one that comes trained)
4  methods              `methods` (a module a paper)
5  training             `training` (the one training loop) · `landmarker` (own landmarks, from few labelled faces)
6  showing, measuring   `plots` `widgets` `notebook` · `experiments` (a file is an experiment is a recorded result)

Each module's docstring begins with its mathematics. `import lddmmlib` needs NumPy and PyTorch alone.

>>> import lddmmlib
>>> lddmmlib.__version__
'0.1.0'
"""

__version__ = "0.1.0"
