"""Wrong answers to the chapters' exercises: each in the place of the stub, and why somebody gives it."""

UNTRIED = {  # exercise -> why its self-check is not tried in the tests; its solution asserts in the chapter
    ("12_matching", "Explore"): "each answer costs three matchings",
    ("21_sparse_shape_regression", "Explore"): "its faces take too long to draw",
    ("31_subpixel_training", "Explore"): "it needs the chapter's trained networks",
    ("92_training_loop", "Explore"): "it needs the chapter's trained networks",
}

# chapter -> exercise -> why -> answer
WRONG = {
    "00_start": {
        "Check": {
            "the width, not the last pixel": "x_flipped, x_flipped_counted_from_one = 540, 540",
            "the two exchanged": "x_flipped, x_flipped_counted_from_one = 541, 539",
            "from the middle": "x_flipped, x_flipped_counted_from_one = 220, 220",
        },
        "Extend": {
            "variances for deviations": """
def coefficients(face, K):
    return modes[:, :K].T @ (face - model.mean).flatten() / eigenvalues[:K]""",
            "the mean left in": """
def coefficients(face, K):
    return modes[:, :K].T @ face.flatten() / eigenvalues[:K].sqrt()""",
            "lengths along the modes": """
def coefficients(face, K):
    return modes[:, :K].T @ (face - model.mean).flatten()""",
            "all modes": """
def coefficients(face, K):
    return modes.T @ (face - model.mean).flatten() / eigenvalues.sqrt()""",
        },
        "Explore": {
            "the mean jaw": "predicted_jaw = model.mean[:17]",
            "the jaw itself": "predicted_jaw = some_face[:17]",
            "the gain the other way round": """
S = model.covariance
off = (some_face - model.mean).flatten()[seen]
predicted_jaw = model.mean[:17] - (S[hidden][:, seen] @ torch.linalg.solve(S[seen][:, seen], off)).view(17, 2)""",
            "the covariance without its inverse": """
off = (some_face - model.mean).flatten()[seen]
predicted_jaw = model.mean[:17] + (model.covariance[hidden][:, seen] @ off).view(17, 2)""",
        },
    },
    "01_faces_and_schemes": {
        "Check": {
            "the shared ones twice": "union, shared = 68 + 74, len(schemes.shared('wflw-98', '300w-68'))",
            "all of the 68": "union, shared = 113, 68",
            "those that are drawn from two": "union, shared = 113, 98 - len(schemes.shared('wflw-98', '300w-68'))",
        },
        "Extend": {
            "even in the parameter": """
def even(face, curve, m):
    return geometry.curve(face, curve, np.linspace(0, 1, m))[:, :2]""",
            "on the chord": """
def even(face, curve, m):
    ends = geometry.curve(face, curve, np.linspace(0, 1, 2))[:, :2]
    return torch.lerp(ends[0], ends[1], torch.linspace(0, 1, m, dtype=ends.dtype)[:, None])""",
            "without the last end": """
def even(face, curve, m):
    dense = geometry.curve(face, curve, np.linspace(0, 1, 500))[:, :2].numpy()
    length = np.r_[0, np.linalg.norm(np.diff(dense, axis=0), axis=1).cumsum()]
    at = np.linspace(0, length[-1], m, endpoint=False)
    return torch.tensor(np.stack([np.interp(at, length, column) for column in dense.T], 1))""",
            "even in space, not in the picture": """
def even(face, curve, m):
    dense = geometry.curve(face, curve, np.linspace(0, 1, 500)).numpy()
    length = np.r_[0, np.linalg.norm(np.diff(dense, axis=0), axis=1).cumsum()]
    at = np.linspace(0, length[-1], m)
    return torch.tensor(np.stack([np.interp(at, length, column) for column in dense.T[:2]], 1))""",
        },
        "Explore": {
            "at once": "first_hidden = 0",
            "the last one at which all are seen": """
seen = [geometry.landmarks(geometry.Face3D(yaw=np.radians(d)))[1].all() for d in range(0, 31, 5)]
first_hidden = 5 * (seen.index(False) - 1)""",
            "radians": """
seen = [geometry.landmarks(geometry.Face3D(yaw=np.radians(d)))[1].all() for d in range(0, 31, 5)]
first_hidden = np.radians(5 * seen.index(False))""",
            "half of the jaw": "first_hidden = 45",
        },
    },
    "02_measuring_error": {
        "Check": {
            "the unlabelled one counts as right": "my_corners, my_diagonal = 3 / 80, 3 / math.hypot(80, 50)",
            "it counts for the box": "my_corners, my_diagonal = 4 / 80, 4 / math.hypot(80, 80)",
            "per cent": "my_corners, my_diagonal = 5.0, 100 * 4 / math.hypot(80, 50)",
            "a side for a diagonal": "my_corners, my_diagonal = 4 / 80, 4 / 50",
        },
        "Extend": {
            "the largest mean error": """
def worst_landmarks(errors, k):
    return errors.nanmean(0).argsort(descending=True)[:k]""",
            "unlabelled counts as right": """
def worst_landmarks(errors, k):
    return (errors > 0.1).double().mean(0).argsort(descending=True)[:k]""",
            "worst last": """
def worst_landmarks(errors, k):
    rate = (errors > 0.1).double().sum(0) / (~errors.isnan()).sum(0)
    return rate.argsort()[-k:]""",
            "all of them": """
def worst_landmarks(errors, k):
    rate = (errors > 0.1).double().sum(0) / (~errors.isnan()).sum(0)
    return rate.argsort(descending=True)""",
        },
        "Explore": {
            "by a whole step": "slid = torch.cat([face[1:17], face[16:]])",
            "outwards": """
step = face[1:17] - face[:16]
slid = torch.cat([face[:16] + 0.5 * step.flip(1) * torch.tensor([-1.0, 1.0]), face[16:]])""",
            "the last one as well": "slid = torch.cat([(face[:17] + face[1:18]) / 2, face[17:]])",
            "the jaw alone": "slid = (face[:16] + face[1:17]) / 2",
        },
    },
    "10_kernels_and_currents": {
        "Check": {
            "the length of the path": "straight, corner, back = 400, 400, 400",
            "no cross term": "straight, corner, back = 200, 200, 200",
            "each pair once": "straight, corner, back = 200 + 100 * math.exp(-1), 200, 100",
            "a kernel with the half": "straight, corner, back = 200 + 200 * math.exp(-0.5), 200, 0",
        },
        "Extend": {
            "the oriented norm": """
def unoriented_norm2(x, sigma):
    return currents.norm2(x, sigma)""",
            "absolute values for squares": """
def unoriented_norm2(x, sigma):
    c, tau = edges(x)
    return (kernel(c, c, sigma) * (tau @ tau.T).abs()).sum()""",
            "squares, and no lengths below them": """
def unoriented_norm2(x, sigma):
    c, tau = edges(x)
    return (kernel(c, c, sigma) * (tau @ tau.T).square()).sum()""",
            "angles without lengths": """
def unoriented_norm2(x, sigma):
    c, tau = edges(x)
    length = tau.norm(dim=1)
    angle = ((tau @ tau.T) / (length[:, None] * length)).square()
    return (kernel(c, c, sigma) * angle).sum()""",
        },
        "Explore": {
            "it stays": "beta_256 = 0.1",
            "the wrong way": "beta_256 = 0.1 * 256 / 112",
            "an area": "beta_256 = 0.1 * (112 / 256) ** 2",
        },
    },
    "11_flows_and_shooting": {
        "Check": {
            "the momentum is the place": "my_end_constant, my_end_shooting, my_steps = [6.0, 8.0], [6.0, 8.0], 3",
            "the step that is not enough": "my_end_constant, my_end_shooting, my_steps = [16.0, 28.0], [16.0, 28.0], 2",
            "one width a step": "my_end_constant, my_end_shooting, my_steps = [16.0, 28.0], [16.0, 28.0], 10 / 4",
            "a momentum that fades": "my_end_constant, my_end_shooting, my_steps = [16.0, 28.0], [13.0, 24.0], 3",
        },
        "Extend": {
            "the midpoint rule": """
def heun(x, alpha, sigma, steps):
    return flows.flow(x, alpha, sigma, steps, "rk2").end""",
            "Euler": """
def heun(x, alpha, sigma, steps):
    return flows.flow(x, alpha, sigma, steps, "euler").end""",
            "the field of the old places": """
def heun(x, alpha, sigma, steps):
    h = 1 / steps
    for _ in range(steps):
        v = velocity(x, x, alpha, sigma)
        x = x + h / 2 * (v + velocity(x + h * v, x, alpha, sigma))
    return x""",
            "a sum, not a mean": """
def heun(x, alpha, sigma, steps):
    h = 1 / steps
    for _ in range(steps):
        v = velocity(x, x, alpha, sigma)
        there = x + h * v
        x = x + h * (v + velocity(there, there, alpha, sigma))
    return x""",
        },
        "Explore": {
            "half each time": "left_over = {'shooting': [0.4, 0.2, 0.1], 'constant': [0.4, 0.2, 0.1]}",
            "past each other": "left_over = {'shooting': [-2.0, -6.0, -14.0], 'constant': [0.29, 0.14, 0.065]}",
            "the place, not the distance": """
left_over = {
    name: [model(*head_on(1.0, q), 1.0, 30, "rk4").end[1, 0].item() for q in (2.0, 4.0, 8.0)]
    for name, model in {"shooting": flows.shoot, "constant": flows.flow}.items()
}""",
            "the two exchanged": """
left_over = {
    name: [2 * model(*head_on(1.0, q), 1.0, 30, "rk4").end[1, 0].item() for q in (2.0, 4.0, 8.0)]
    for name, model in {"constant": flows.shoot, "shooting": flows.flow}.items()
}""",
        },
    },
    "12_matching": {
        "Check": {
            "it arrives": "my_way, my_gamma = 5.0, 0.1",
            "an energy with the half": "my_way, my_gamma = 5.0, 0.2",
            "a squared discrepancy": "my_way, my_gamma = 5 / (1 + 0.2), 0.1",
            "a share": "my_way, my_gamma = 0.5, 0.1",
        },
        "Extend": {
            "the straight line": """
def on_the_way(template, found, sigma, t):
    return template + t * (flows.shoot(template, found.momenta, sigma, 40).end - template)""",
            "momenta as they are": """
def on_the_way(template, found, sigma, t):
    return flows.shoot(template, found.momenta, sigma, max(1, round(40 * t))).end""",
            "by the root": """
def on_the_way(template, found, sigma, t):
    return flows.shoot(template, t**0.5 * found.momenta, sigma, 40).end""",
            "constant momenta": """
def on_the_way(template, found, sigma, t):
    return flows.flow(template, t * found.momenta, sigma, 40).end""",
        },
    },
    "13_deformation_layer": {
        "Check": {
            "one step, not two": "my_first, my_second = 4.0, 4 * math.exp(-1)",
            "zero momentum stays": "my_first, my_second = 4.0, 0.0",
            "a kernel with the half": "my_first, my_second = 4.0, 4 * math.exp(-0.5)",
            "the first's share only": "my_first, my_second = 2.0, 2 * math.exp(-1)",
        },
        "Extend": {
            "places that do not flow": """
def boundary(layer, alpha, name, count):
    places = [(name, k / (count - 1)) for k in range(count)]
    return layer.riders(places).points.expand(len(alpha), -1, -1)""",
            "the last landmark is not reached": """
def boundary(layer, alpha, name, count):
    return layer.carry(alpha, layer.riders([(name, k / count) for k in range(count)]))""",
            "one face of the batch": """
def boundary(layer, alpha, name, count):
    places = [(name, k / (count - 1)) for k in range(count)]
    return layer.carry(alpha, layer.riders(places))[0]""",
            "the other half of the jaw": """
def boundary(layer, alpha, name, count):
    places = [("left jaw", k / (count - 1)) for k in range(count)]
    return layer.carry(alpha, layer.riders(places))""",
        },
        "Explore": {
            "invented": "tried = [1.0, 0.5, 0.2]",
            "the landmarks that were taught": """
tried = []
for beta in (0.0, BETA, 10 * BETA):
    ends = partial(fitted(partial, people[:6], beta=beta, steps=60))
    tried.append((ends - people[:6])[:, list(subset)].norm(dim=-1).mean())""",
            "one number": "tried = 0.5",
        },
    },
    "20_lars": {
        "Check": {
            "shrunk below zero": "my_price, my_budget = [2.0, -1.0, 0.1], [2.0, -1.0, 0.0]",
            "nothing shrinks": "my_price, my_budget = [3.0, -2.0, 1.0], [3.0, 0.0, 0.0]",
            "shrunk towards minus": "my_price, my_budget = [2.0, -3.0, 0.0], [2.0, -1.0, 0.0]",
            "in proportion": "my_price, my_budget = [2.0, -1.0, 0.0], [1.5, -1.0, 0.5]",
        },
        "Extend": {
            "the pull of the start": """
def price(G, xy, tau):
    return xy.abs().max()""",
            "the mean pull": """
def price(G, xy, tau):
    return (xy - G @ lars.budget(G, xy, tau).coefs).abs().mean()""",
            "the budget itself": """
def price(G, xy, tau):
    return torch.as_tensor(tau)""",
            "without the sign": """
def price(G, xy, tau):
    return (xy - G @ lars.budget(G, xy, tau).coefs).max()""",
        },
        "Explore": {
            "the best takes all": "weights = [1.0, 0.0]",
            "one over the error": "weights = [0.9, 0.09]",
            "equal shares": "weights = [1 / 9, 1 / 9]",
            "one number": "weights = 0.8",
        },
    },
    "21_sparse_shape_regression": {
        "Check": {
            "signs kept": "my_norm, my_move = 1.0, 50.0",
            "it moves by the norm": "my_norm, my_move = 1.4, 70.0",
            "the largest weight": "my_norm, my_move = 0.9, 45.0",
            "a root of squares": "my_norm, my_move = (0.81 + 0.09 + 0.04) ** 0.5, 50.0",
        },
        "Extend": {
            "without the sign's value": """
def recipe(h, k):
    names = schemes.get("300w-68").names
    return [names[i] for i in h.argsort(descending=True)[:k].tolist()]""",
            "smallest first": """
def recipe(h, k):
    names = schemes.get("300w-68").names
    return [names[i] for i in h.abs().argsort()[-k:].tolist()]""",
            "all that count": """
def recipe(h, k):
    names = schemes.get("300w-68").names
    return [names[i] for i in h.abs().argsort(descending=True)[:3].tolist()]""",
            "numbers, not names": """
def recipe(h, k):
    return h.abs().argsort(descending=True)[:k].tolist()""",
        },
    },
    "22_coupled_regression": {
        "Check": {
            "x alone": "from_one, from_both, later = 400 * 39, 400 * 29, 400 * 113",
            "all of the 68": "from_one, from_both, later = 800 * 68, 800 * 29, 800 * 113",
            "a union that counts the shared ones twice": "from_one, from_both, later = 800 * 39, 800 * 29, 800 * 142",
        },
        "Extend": {
            "all sets counted": """
def united(found, knows):
    return found.nan_to_num(0.0).sum(0) / len(found)""",
            "whoever comes last": """
def united(found, knows):
    out = torch.zeros_like(found[0])
    for shape, own in zip(found, knows, strict=True):
        out[own] = shape[own]
    return out""",
            "NaN that spreads": """
def united(found, knows):
    return found.sum(0) / knows.sum(0)[:, None]""",
        },
        "Explore": {
            "rows that always sum to one": "sums = [1.0, 1.0, 1.0]",
            "the share itself": "sums = [1.0, 0.7, 0.4]",
            "one number": "sums = 0.8",
        },
    },
    "30_heatmap_quantisation": {
        "Check": {
            "the two exchanged": "by_centre, by_corner, moved = 25.75, 25.375, -3",
            "rounded": "by_centre, by_corner, moved = 25, 26, 1",
            "the wrong way": "by_centre, by_corner, moved = 25.375, 25.75, 3",
            "cells, not pixels": "by_centre, by_corner, moved = 25.375, 25.75, -0.75",
        },
        "Extend": {
            "the first order": """
def aliasing_of_softmax(t, sigma, tau):
    return heatmaps.aliasing(t, sigma / tau**0.5)""",
            "no sine": """
def aliasing_of_softmax(t, sigma, tau):
    m = torch.arange(1, 150, dtype=t.dtype)
    s2 = sigma**2 / m
    weight = torch.exp(m * math.log(tau) - tau - torch.lgamma(m + 1)) * s2
    each = -4 * math.pi * s2 * torch.exp(-2 * math.pi**2 * s2)
    return (weight * each).sum() / weight.sum()""",
            "the other sign": """
def aliasing_of_softmax(t, sigma, tau):
    m = torch.arange(1, 150, dtype=t.dtype)
    s2 = sigma**2 / m
    weight = torch.exp(m * math.log(tau) - tau - torch.lgamma(m + 1)) * s2
    each = 4 * math.pi * s2 * torch.exp(-2 * math.pi**2 * s2)
    return (weight * each).sum() / weight.sum() * torch.sin(2 * math.pi * t)""",
            "a sum, not a mean": """
def aliasing_of_softmax(t, sigma, tau):
    m = torch.arange(1, 150, dtype=t.dtype)
    s2 = sigma**2 / m
    weight = torch.exp(m * math.log(tau) - tau - torch.lgamma(m + 1)) * s2
    each = -4 * math.pi * s2 * torch.exp(-2 * math.pi**2 * s2)
    return (weight * each).sum() * torch.sin(2 * math.pi * t)""",
        },
        "Explore": {
            "small windows see less noise": "costs = {3: 0.05, 5: 0.1, 7: 0.15, 9: 0.2}",
            "no noise": "costs = {3: 0.0, 5: 0.0, 7: 0.0, 9: 0.0}",
            "one tau for all": """
costs = {}
for w in (3, 5, 7, 9):
    maps_7 = heatmaps.encode(spots, SIZE, 2.0)
    chance_7 = torch.randn(maps_7.shape, generator=torch.Generator().manual_seed(1))
    costs[w] = mean_error(heatmaps.decode(maps_7 + 0.1 * chance_7, "local_soft", w, 10.0))""",
        },
    },
    "31_subpixel_training": {
        "Check": {
            "pixels for cells": "in_shifted, in_mirrored, times = (9, 2), (28, 2), 4",
            "the other way": "in_shifted, in_mirrored, times = (1.5, 2), (4, 2), 4",
            "a mirror at the width": "in_shifted, in_mirrored, times = (4.5, 2), (5, 2), 4",
            "twice": "in_shifted, in_mirrored, times = (4.5, 2), (4, 2), 2",
        },
        "Extend": {
            "one wave": """
def left_of_rounding(t, s, waves):
    return -torch.exp(torch.tensor(-2 * (math.pi * s) ** 2)) * torch.sin(2 * math.pi * t) / math.pi
waves = 1""",
            "the same exponential in all": """
def left_of_rounding(t, s, waves):
    m = torch.arange(1, waves + 1)
    each = math.exp(-2 * (math.pi * s) ** 2) * torch.sin(2 * math.pi * m * t) / m
    return ((1 - 2 * (m % 2)) * each).sum() / math.pi
waves = 8""",
            "no alternating signs": """
def left_of_rounding(t, s, waves):
    m = torch.arange(1, waves + 1)
    return -(torch.exp(-2 * (math.pi * m * s) ** 2) * torch.sin(2 * math.pi * m * t) / m).sum() / math.pi
waves = 3""",
        },
    },
    "40_optimal_transport": {
        "Check": {
            "what moves, not how far": "work, crosses, apart = 0.6, 0.6, 1.3",
            "what lies beyond the border": "work, crosses, apart = 1.3, 0.8, 1.3",
            "differences of heaps": "work, crosses, apart = 1.2, 0.6, 1.3",
            "barycentres the other way": "work, crosses, apart = 1.3, 0.6, -1.3",
        },
        "Extend": {
            "the line": """
def ring(u, v):
    return (u - v).cumsum(-1).abs().sum()""",
            "the mean": """
def ring(u, v):
    crossing = (u - v).cumsum(-1)
    return (crossing - crossing.mean()).abs().sum()""",
            "half-way between the extremes": """
def ring(u, v):
    crossing = (u - v).cumsum(-1)
    return (crossing - (crossing.max() + crossing.min()) / 2).abs().sum()""",
        },
        "Explore": {
            "as wide as the target": "best = {'value': 2.0, 'debiased': 2.0}",
            "both a single cell": "best = {'value': 0.05, 'debiased': 0.05}",
            "exchanged": "best = {'value': 2.0, 'debiased': 0.05}",
        },
    },
    "41_wasserstein_heatmaps": {
        "Check": {
            "the mean squared way": "cost, coordinate, push = 16.0, 2.0, 6.0",
            "the price, not its difference": "cost, coordinate, push = 2.0, 2.0, 8.0",
            "a mean that stays": "cost, coordinate, push = 2.0, 0.0, 6.0",
        },
        "Extend": {
            "rows for columns": """
def unseen_by_mean(u, y):
    cells, u = grid(*u.shape[1:]).flip(1).to(u), u.flatten(1)
    far = torch.cdist(y[:, None], cells[None])[:, 0]
    return (u * far).sum(1) - (u @ cells - y).norm(dim=1)""",
            "the transport cost alone": """
def unseen_by_mean(u, y):
    return transport.w1_to_point(u, y)""",
            "one sum over all maps": """
def unseen_by_mean(u, y):
    return (transport.w1_to_point(u, y) - (transport.get_bc(u) - y).norm(dim=1)).sum()""",
        },
        "Explore": {
            "twice as much each time": "astray = [0.1, 0.2, 0.4]",
            "shares of the side": "astray = [0.0045, 0.017, 0.057]",
            "the maximum, which does not move": "astray = [0.0, 0.0, 0.0]",
        },
    },
    "42_robustness": {
        "Check": {
            "images counted by their worst": "by_image, by_landmark, at_a_fifth = 2 / 3 + 0.1, 0.5, 1 / 6",
            "percent": "by_image, by_landmark, at_a_fifth = 67.0, 50.0, 17.0",
            "pairs that stay below": "by_image, by_landmark, at_a_fifth = 1 / 3, 0.5, 5 / 6",
        },
        "Extend": {
            "of all pairs, not of the lost": """
def caused(e, before, hidden, theta):
    new = (e > theta) & (before <= theta)
    return [new[m].double().mean().item() for m in (hidden, ~hidden)]""",
            "seen first": """
def caused(e, before, hidden, theta):
    new = (e > theta) & (before <= theta)
    return [(new[m].sum() / (e > theta)[m].sum()).item() for m in (~hidden, hidden)]""",
            "what was lost before": """
def caused(e, before, hidden, theta):
    new = (e > theta) & (before > theta)
    return [(new[m].sum() / (e > theta)[m].sum()).item() for m in (hidden, ~hidden)]""",
        },
        "Explore": {
            "equal shares": "hides = [0.2, 0.2]",
            "mouth first": """
shape = statistics.real_300w().mean.double().expand(3000, -1, -1)
often = perturb.ellipse(torch.zeros(3000, 1, 1, 1), shape, "large", torch.Generator().manual_seed(0)).hidden
often = often.double().mean(0)
hides = [often[48:].mean(), often[:17].mean()]""",
            "the medium ellipse": """
shape = statistics.real_300w().mean.double().expand(3000, -1, -1)
often = perturb.ellipse(torch.zeros(3000, 1, 1, 1), shape, "medium", torch.Generator().manual_seed(0)).hidden
often = often.double().mean(0)
hides = [often[:17].mean(), often[48:].mean()]""",
        },
    },
    "50_polyharmonic_warping": {
        "Check": {
            "a mean of the ends": "my_place, my_energy = [7 / 3, 8 / 3], 0",
            "a shift": "my_place, my_energy = [3, 2], 0",
            "stretching costs": "my_place, my_energy = [3, 4], 1",
        },
        "Extend": {
            "the picture as it is": """
def anchored(image, source, target):
    return image""",
            "no anchors": """
def anchored(image, source, target):
    return polyharmonic.warp(image, source, target)""",
            "the two sets exchanged": """
def anchored(image, source, target):
    h, w = image.shape[1:]
    corners = source.new_tensor([[0, 0], [w - 1, 0], [0, h - 1], [w - 1, h - 1]])
    return polyharmonic.warp(image, *(torch.cat([p, corners]) for p in (target, source)))""",
            "order 1": """
def anchored(image, source, target):
    h, w = image.shape[1:]
    corners = source.new_tensor([[0, 0], [w - 1, 0], [0, h - 1], [w - 1, h - 1]])
    return polyharmonic.warp(image, *(torch.cat([p, corners]) for p in (source, target)), order=1)""",
        },
        "Explore": {
            "home again": "back = {0.5: 0.0, 1: 0.0, 2: 0.0}",
            "in proportion": "back = {0.5: 0.5, 1: 1.0, 2: 2.0}",
            "the same way twice": """
back = {}
for f in (0.5, 1, 2):
    out_7 = polyharmonic.fit(source, source + f * (aligned - source))
    twice_7 = polyharmonic.evaluate(out_7, polyharmonic.evaluate(out_7, places))
    back[f] = (twice_7 - places).norm(dim=1).mean().item()""",
        },
    },
    "51_warping_to_landmarks": {
        "Check": {
            "the whole step": "my_length, of_lengths, of_slopes = 0.6, 0.0, 1.44",
            "lengths that see the side": "my_length, of_lengths, of_slopes = 0.3, 0.36, 0.36",
            "slopes that do not": "my_length, of_lengths, of_slopes = 0.3, 0.0, 0.0",
            "weights of the filter not added up": "my_length, of_lengths, of_slopes = 0.15, 0.0, 0.09",
        },
        "Extend": {
            "partners not exchanged": """
def confirmed(found, mirrored, flip, side, most):
    back = torch.stack([side - 1 - mirrored[:, 0], mirrored[:, 1]], 1)
    return found.masked_fill((found - back).norm(dim=-1, keepdim=True) > most * side, torch.nan)""",
            "a mirror at side - x": """
def confirmed(found, mirrored, flip, side, most):
    back = mirrored[list(flip)]
    back = torch.stack([side - back[:, 0], back[:, 1]], 1)
    return found.masked_fill((found - back).norm(dim=-1, keepdim=True) > most * side, torch.nan)""",
            "those that agree left out": """
def confirmed(found, mirrored, flip, side, most):
    back = mirrored[list(flip)]
    back = torch.stack([side - 1 - back[:, 0], back[:, 1]], 1)
    return found.masked_fill((found - back).norm(dim=-1, keepdim=True) <= most * side, torch.nan)""",
            "the mean of both": """
def confirmed(found, mirrored, flip, side, most):
    back = mirrored[list(flip)]
    back = torch.stack([side - 1 - back[:, 0], back[:, 1]], 1)
    off = (found - back).norm(dim=-1, keepdim=True)
    return ((found + back) / 2).masked_fill(off > most * side, torch.nan)""",
        },
        "Explore": {
            "straight home": "back_home = [1.0, 0.5, 0.0]",
            "the gradient, not minus it": "back_home = [-0.5, -0.1, -0.1]",
            "one number": "back_home = 0.2",
        },
    },
    "91_your_own_data": {
        "Check": {
            "the middle, not the corner": "my_square = [30, 39, 80]",
            "twice the shorter side": "my_square = [0, 9, 60]",
            "dy of the height": "my_square = [-10, -2, 80]",
            "the box's own corner": "my_square = [10, 24, 80]",
        },
        "Extend": {
            "pixels, whatever the size of the face": """
def look_first(spread, places, count):
    return spread.nanmean(1).argsort(descending=True)[:count]""",
            "the surest first": """
def look_first(spread, places, count):
    longer = torch.tensor([max(w, h) for _, _, w, h in places])
    return (spread.nanmean(1) / longer).argsort()[:count]""",
            "NaN that spreads": """
def look_first(spread, places, count):
    longer = torch.tensor([max(w, h) for _, _, w, h in places])
    return (spread.mean(1) / longer).argsort(descending=True)[:count]""",
            "the width": """
def look_first(spread, places, count):
    wide = torch.tensor([(w if i % 3 else h) for i, (_, _, w, h) in enumerate(places)])
    return (spread.nanmean(1) / wide).argsort(descending=True)[:count]""",
        },
        "Explore": {
            "by the number, not its root": "crowd = [2.0, 0.5, 0.125]",
            "nothing gained": "crowd = [2.0, 2.0, 2.0]",
            "fractions": "crowd = [0.02, 0.01, 0.005]",
            "one number": "crowd = 2.0",
        },
    },
    "92_training_loop": {
        "Check": {
            "a part of a batch counts": "my_steps, my_rate, left_out = 60 * 21, 0.1, 0",
            "after both drops": "my_steps, my_rate, left_out = 1200, 0.01, 40",
            "steps of an epoch": "my_steps, my_rate, left_out = 20, 0.1, 40",
        },
        "Extend": {
            "blocks, not every second": """
def share(k, m, b, seed, rank, world):
    epoch, j = divmod(k, m // b)
    order = np.random.default_rng([seed, epoch, 0]).permutation(m)
    return order[j * b : (j + 1) * b].reshape(world, -1)[rank].tolist()""",
            "an order for all epochs": """
def share(k, m, b, seed, rank, world):
    epoch, j = divmod(k, m // b)
    order = np.random.default_rng([seed, 0, 0]).permutation(m)
    return order[j * b : (j + 1) * b][rank::world].tolist()""",
            "the step for the epoch": """
def share(k, m, b, seed, rank, world):
    order = np.random.default_rng([seed, k, 0]).permutation(m)
    return order[:b][rank::world].tolist()""",
            "the whole batch": """
def share(k, m, b, seed, rank, world):
    epoch, j = divmod(k, m // b)
    return np.random.default_rng([seed, epoch, 0]).permutation(m)[j * b : (j + 1) * b].tolist()""",
        },
    },
}
