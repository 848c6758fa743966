"""Engines that make the mathematics fast: trusted, not taught.

Nothing here is needed to understand a paper. Each engine computes what a function on the floor above
defines, and a test says that the two agree.

pairs      sums over pairs of points, some rows at a time, with their derivatives
integrate  one Runge-Kutta step from a table; velocities of flows, for sigma = 1
lbfgs      many small minimisations at once
sweep      the swept tableau of least angle regression
softmin    half steps of Sinkhorn's iteration on a grid, by matrix products in windows around the mass
"""
