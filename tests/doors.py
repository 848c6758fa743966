"""A call of every public function that takes coordinates, maps or what is made of them: the tests of all doors read it.

`calls()` gives (name, function, arguments). A new public function belongs here, or into `APART` with its reason.
`python -m tests.doors` puts what is wrong in the place of each argument and prints every answer that is no refusal by
name. It runs in a process of its own, without the checks of annotations, which a user has not switched on either.
"""

import inspect
import re
import sys
import warnings

import numpy as np
import torch

from lddmmlib import currents, flows, heatmaps, kernels, lars, matching, metrics, optimal_transport, polyharmonic
from lddmmlib.curves import Curves
from lddmmlib.data import crops
from lddmmlib.faces import curve_sets, own, perturb, statistics
from lddmmlib.methods import (
    completed_training,
    conditional_warp,
    coupled_regression,
    domain_adaptation,
    heatmap_regression,
    lddmm_face,
    shape_indexed,
    sparse_shape_regression,
    subpixel,
    wasserstein,
)
from lddmmlib.networks import dan

MODULES = [kernels, currents, flows, matching, lars, heatmaps, optimal_transport, polyharmonic, statistics, perturb,
           own, crops, metrics, sparse_shape_regression, heatmap_regression, subpixel, dan, curve_sets,
           lddmm_face, wasserstein, coupled_regression, shape_indexed, completed_training, conditional_warp,
           domain_adaptation]  # fmt: skip
APART = {
    "phi", "slope", "check", "between", "mean_shape",  # parts that modules share, behind the doors
    "height", "softmax_width", "real_300w", "get", "curve_at",  # numbers and files alone
    "shoot_by_equations", "sinkhorn_by_iterating", "w1_by_linear_program", "encode_by_loops", "decode_by_loops",
    "norm2_by_loops", "match_by_descending", "fit_by_solving", "evaluate_by_loops", "warp_by_pixels", "deform_by_loops",
    "features_by_loops", "warper_loss_by_pixels",
    # ... versions to read: they refuse nothing
    "network", "drn_objective", "minimise", "start",  # parts of the trainings that follow, tried in their own tests
    "fit_cascade", "load_cascade", "fit_separate", "fit_deep_sparse", "alternate", "by_deviations",
    "both", "siamese_loss", "correction_loss", "corrected_landmarks", "network_input", "stacks", "heatmaps_of",
    "stride", "target", "l2_loss", "l2_of_stacks", "cross_entropy_loss", "soft_argmax_loss", "landmarks_from",
    "predict", "train_loss", "wasserstein_loss", "point_loss", "jensen_shannon_loss", "recipe_loss", "landmarks",
    "perceptual", "check_images", "points_of",
    "outputs_of", "joint_loss", "alternating_loss", "source_loss", "oracle_loss",
    "fourier_loss", "adversarial_loss", "reverse_gradient", "translation_loss", "translated_loss",
    # ... of a network, whose images have a door of their own
}  # fmt: skip


def calls():
    g = torch.Generator().manual_seed(0)

    def rand(*shape):
        return torch.rand(*shape, generator=g)

    x, y, p = 200 * rand(6, 2), 200 * rand(5, 2), 10 * rand(6, 2) - 5
    faces = x + 5 * rand(4, 6, 2)
    curves, others = (Curves(z, [slice(0, 4), [4, 5]], coupled=False) for z in (x, x + p))
    flow, ride = flows.shoot(x, p, 60.0), flows.flow(x, p, 60.0)
    maps = heatmaps.encode(10 * rand(3, 2) + 2, (14, 15), 1.5)
    u, v = maps[0], maps[1]
    spline = polyharmonic.fit(x, x + p)
    design = rand(9, 4)
    gram, xy = design.T @ design, design.T @ rand(9)
    truth = 200 * rand(2, 68, 2)
    image, affine = 255 * rand(3, 30, 40), crops.frame((3.0, 4.0, 20.0, 16.0), 24).float()
    few, chance = x / 8, lambda: torch.Generator().manual_seed(1)
    T = dan.similarity(faces, x)
    move = statistics.similarity(faces, x)
    scatter = statistics.covariance(faces, faces.mean(0))
    table = [
        (kernels.gaussian, {"a": x, "b": y, "sigma": 60.0}),
        (kernels.product, {"a": x, "b": y, "f": rand(5, 3), "sigma": 60.0}),
        (currents.norm2, {"curve": x, "sigma": 60.0, "closed": True}),
        (currents.norm2, {"curve": curves, "sigma": [60.0, 40.0]}),
        (currents.distance2, {"a": x, "b": y, "sigma": 60.0, "closed": False}),
        (currents.landmark_discrepancy, {"z": x, "y": x + p}),
        (flows.velocity, {"points": y, "x": x, "alpha": p, "sigma": 60.0}),
        (flows.flow, {"x0": x, "alpha": p, "sigma": 60.0, "steps": 3, "method": "rk2", "points": y}),
        (flows.flow, {"x0": curves, "alpha": p, "sigma": [60.0, 40.0], "steps": 2, "method": "euler"}),
        (flows.flow_path, {"x0": x, "alpha_t": torch.stack([p, -p]), "sigma": 60.0, "method": "rk4", "points": y}),
        (flows.shoot, {"x0": x, "p0": p, "sigma": 60.0, "steps": 3, "method": "rk2", "points": y}),
        (flows.hamiltonian, {"x": x, "p": p, "sigma": 60.0}),
        (flows.hamilton_equations, {"x": x, "p": p, "sigma": 60.0}),
        (flows.energy, {"flow": ride}),
        (flows.certified, {"flow": flow}),
        (flows.apply, {"flow": ride, "points": y}),
        (flows.inverse, {"flow": flow, "points": y}),
        (flows.jacobian, {"flow": ride, "points": y}),
        (flows.min_steps, {"x0": x, "alpha": p, "sigma": 60.0, "method": "rk2", "geodesic": False}),
        (matching.discrepancy, {"z": x, "y": x + p, "sigma_w": 60.0, "beta": 0.1, "landmarks": True}),
        (matching.loss, {"z": curves, "y": others, "sigma_w": 60.0, "beta": 0.1, "normaliser": 2.0}),
        (matching.objective, {"flow": ride, "target": x + p, "sigma_w": 60.0, "beta": 0.1, "gamma": 0.01}),
        (matching.match, {"template": x, "target": x + p, "sigma_v": 60.0, "sigma_w": 40.0, "beta": 0.1, "gamma": 0.01,
                          "model": "shoot", "points": y, "landmarks": True, "steps": 2, "tol": 1e-2, "max_iter": 3}),
        (matching.match, {"template": curves, "target": others, "sigma_v": 60.0, "steps": 2, "max_iter": 3}),
        (matching.mean, {"shapes": faces[:2, :3], "sigma_v": 60.0, "sigma_w": 40.0, "beta": 0.1, "gamma": 0.01,
                         "steps": 2, "tol": 0.5, "max_iter": 1}),
        (matching.whitening, {"x0": x, "sigma": 60.0}),
        (matching.modes, {"template": x, "momenta": faces - x, "sigma_v": 60.0, "k": 2}),
        (lars.path, {"gram": gram, "xy": xy}),
        (lars.budget, {"gram": gram, "xy": xy, "tau": 0.5}),
        (lars.path_by_solving, {"gram": gram, "xy": xy}),
        (heatmaps.to_cells, {"pixels": x, "stride": 4.0, "alignment": "centre"}),
        (heatmaps.to_pixels, {"cells": x, "stride": 4.0, "alignment": "corner"}),
        (heatmaps.quantise, {"cells": x, "rounding": "round"}),
        (heatmaps.encode, {"points": few, "size": (8, 9), "sigma": 1.5, "rounding": "none", "peak": "one",
                           "stride": 2.0, "alignment": "centre"}),
        (heatmaps.decode, {"maps": maps, "method": "local_soft", "window": 5, "tau": 10.0, "stride": 2.0,
                           "alignment": "centre", "blur": 0.0}),
        (heatmaps.decode, {"maps": maps, "method": "taylor", "blur": 1.0}),
        (heatmaps.aliasing, {"t": rand(3), "s": 0.5}),
        (heatmaps.truncation, {"t": rand(3), "s": 0.5, "window": 5}),
        (heatmaps.best_tau, {"sigma": 1.0, "window": 3, "peak": "one"}),
        (optimal_transport.sinkhorn, {"u": u, "v": v, "eps": 1.0, "p": 1, "tol": 1e-2, "max_iter": 50,
                                      "solver": "auto"}),
        (optimal_transport.debiased, {"u": u, "v": v, "eps": 1.0, "p": 2}),
        (optimal_transport.w1, {"u": u, "v": v, "tol": 0.1, "max_iter": 50}),
        (optimal_transport.w1_to_point, {"u": u, "y": few[0]}),
        (optimal_transport.get_max, {"maps": maps}),
        (optimal_transport.get_bc, {"maps": maps}),
        (polyharmonic.fit, {"controls": x, "values": x + p, "order": 2, "smoothing": 0.1}),
        (polyharmonic.evaluate, {"spline": spline, "points": y}),
        (polyharmonic.warp, {"image": image, "source": few, "target": few + p / 20, "order": 2, "smoothing": 0.0,
                             "step": 4}),
        (polyharmonic.coarse_bound, {"spline": spline, "size": (30, 40), "step": 4}),
        (statistics.Similarity.apply, {"self": move, "points": faces}),
        (statistics.similarity, {"source": faces, "target": x}),
        (statistics.to_corners, {"shapes": faces, "corners": (0, 3)}),
        (statistics.procrustes, {"shapes": faces, "corners": (0, 3), "tol": 1e-3, "max_iter": 20}),
        (statistics.covariance, {"aligned": faces, "mean": faces.mean(0)}),
        (statistics.modes, {"cov": scatter, "count": 3}),
        (statistics.sample, {"model": statistics.real_300w(), "count": 2, "generator": chance()}),
        (statistics.symmetric_model, {"shapes": faces, "flip": [1, 0, 3, 2, 5, 4], "corners": (0, 3), "source": "these",
                                      "leading": 3}),
        (perturb.ellipse, {"image": image, "landmarks": few, "level": "medium", "generator": chance()}),
        (perturb.motion_blur, {"image": image, "landmarks": few, "movement": p[0], "level": "large"}),
        (crops.box, {"landmarks": x}),
        (crops.complete, {"landmarks": truth[0], "scheme": "300w-68"}),
        (crops.frame, {"box": (3.0, 4.0, 20.0, 16.0), "size": 24, "margin": 1.25}),
        (crops.apply, {"affine": affine, "points": x}),
        (crops.inverse, {"affine": affine}),
        (crops.then, {"first": affine, "second": affine}),
        (crops.cut, {"image": image.byte(), "affine": affine, "size": 24}),
        (crops.crop, {"image": image.byte(), "landmarks": few, "visible": torch.ones(6).bool(), "size": 24}),
        (metrics.reference_distance, {"truth": truth, "normaliser": "corners", "scheme": "300w-68"}),
        (metrics.errors, {"pred": truth + 1, "truth": truth, "normaliser": "box", "scheme": "300w-68"}),
        (metrics.nme, {"pred": truth + 1, "truth": truth, "normaliser": "pupils", "scheme": "300w-68",
                       "where": rand(2, 68) > 0.5}),
        (metrics.nrmse, {"pred": truth + 1, "truth": truth, "normaliser": "diagonal"}),
        (metrics.failure_rate, {"errors": rand(9, 4), "threshold": 0.3}),
        (metrics.ced, {"errors": rand(9, 4), "thresholds": [0.1, 0.3]}),
        (metrics.auc, {"errors": rand(9, 4), "threshold": 0.3}),
        (metrics.nme_curve, {"pred": truth + 1, "truth": truth, "pred_scheme": "300w-68", "truth_scheme": "300w-68",
                             "normaliser": "corners"}),
        (sparse_shape_regression.fit_h, {"defined": faces[:, :4], "undefined": faces[:, 4:], "tau": 1.4,
                                         "use": [0, 2, 3]}),
        (sparse_shape_regression.complete, {"points": faces, "H": rand(2, 6)}),
        (coupled_regression.to_face, {"points": faces, "boxes": 9 + 9 * rand(4, 4)}),
        (coupled_regression.from_face, {"shapes": faces / 200, "boxes": 9 + 9 * rand(4, 4)}),
        (coupled_regression.label_sets, {"landmarks": faces}),
        (coupled_regression.union_mean, {"landmarks": faces, "boxes": 9 + 9 * rand(4, 4)}),
        (completed_training.complete, {"labels": faces, "found": faces.flip(0), "tau": 1.4}),
        (shape_indexed.features, {"images": (255 * rand(2, 30, 40)).byte(), "points": 20 * rand(2, 3, 2),
                                  "patch": 12.0}),
        (subpixel.to_canonical, {"maps": maps[None], "moves": affine[None], "flip": [1, 0, 2], "stride": 2.0,
                                 "alignment": "centre"}),
        (heatmap_regression.squared_error, {"maps": maps[None], "target": maps[None] / 2,
                                            "seen": rand(1, 14, 15) > 0.5}),
        (heatmap_regression.cross_entropy, {"maps": maps[None], "target": maps[None] / 2}),
        (wasserstein.probabilities, {"maps": maps, "by": "sum", "tau": 9.0}),
        (wasserstein.peak_weight, {"maps": maps, "by": "softmax", "tau": 9.0}),
        (wasserstein.distance, {"maps": 9 * maps, "target": maps.flip(0), "eps": 2.0, "by": "softmax", "tau": 1.0,
                                "tol": 1e-2, "max_iter": 50}),
        (wasserstein.jensen_shannon, {"maps": 9 * maps, "target": maps.flip(0), "by": "softmax", "tau": 1.0}),
        (conditional_warp.image_gradient, {"images": image[None] / 255, "operator": "canny", "gray": True}),
        (conditional_warp.warper_loss, {"predicted": (few + p / 20)[None], "photos": image[None] / 255,
                                        "landmarks": few[None], "stylised": 1 - image[None] / 255, "smoothing": 0.1}),
        (conditional_warp.landmark_loss, {"output": faces + 1, "landmarks": faces, "side": 200.0}),
        (domain_adaptation.swap_amplitude, {"images": image[None] / 255, "targets": 1 - image[None] / 255,
                                            "share": 0.1}),
        (dan.Similarity.apply, {"self": T, "points": faces}),
        (dan.Similarity.undo, {"self": T, "points": faces}),
        (dan.similarity, {"points": faces, "target": x}),
        (dan.resample, {"images": image[None].expand(4, -1, -1, -1) / 255, "T": T}),
        (dan.landmark_image, {"points": faces, "size": 32}),
        (curve_sets.riders, {"source": "300w-68", "target": "cofw-29"}),
        (own.mean_shape, {"points": truth}),
        (own.mirrored, {"mean": x}),
        (own.curves, {"mean": x}),
        (curve_sets.widths, {"mean": truth[0], "scheme": "300w-68"}),
        (curve_sets.fraction, {"scheme": "300w-68", "share": 0.5}),
        (lddmm_face.loss, {"prediction": faces + 1, "target": faces, "curves": [[0, 1, 2], [4, 5]],
                           "sigma_w": torch.tensor([60.0, 40.0]), "beta": 0.1, "normaliser": 2.0, "by_points": True}),
        (lddmm_face.registered, {"mean": truth[0], "scheme": "300w-68", "onto": truth[1], "onto_scheme": "300w-68",
                                 "register": "affine"}),
    ]  # fmt: skip
    names = [f"{function.__module__.removeprefix('lddmmlib.')}.{function.__qualname__}" for function, _ in table]
    return [(f"{name}-{k}" if names.count(name) > 1 else name, *call)
            for k, (name, call) in enumerate(zip(names, table, strict=True))]  # fmt: skip


def public():
    """The public functions of the modules, and the methods of their records."""
    found = set()
    for module in MODULES:
        for owner in [
            module,
            *(x for x in vars(module).values() if inspect.isclass(x) and issubclass(x, tuple)),
        ]:
            if getattr(owner, "__module__", module.__name__) == module.__name__:
                found |= {f for name, f in vars(owner).items() if inspect.isfunction(f) and not name.startswith("_")
                          and f.__module__ == module.__name__ and f.__name__ not in APART}  # fmt: skip
    return found


def run(function, arguments):
    """A call, with a generator that stands where it stood."""
    states = {name: x.get_state() for name, x in arguments.items() if isinstance(x, torch.Generator)}
    try:
        return function(**arguments)
    finally:
        for name, state in states.items():
            arguments[name].set_state(state)


def leaves(x):
    """All tensors of a result, numbers too, in order."""
    if isinstance(x, torch.Tensor):
        return [x]
    if isinstance(x, Curves):
        return [x.points]
    if isinstance(x, bool | int | float | np.number):
        return [torch.tensor(x)]
    if isinstance(x, tuple | list):
        return [leaf for each in x for leaf in leaves(each)]
    return leaves(list(vars(x).values())) if hasattr(x, "__dataclass_fields__") else []


def map_tensors(f, x):
    """The same argument with f of every tensor in it."""
    if isinstance(x, torch.Tensor):
        return f(x)
    if isinstance(x, Curves):
        return x.with_points(f(x.points))
    if isinstance(x, tuple) and hasattr(x, "_fields"):
        return type(x)(*(map_tensors(f, each) for each in x))
    return x


# ------------------------------------------------------------------------------------------------ what is wrong

ANYTHING = {"None": None, "text": "nonsense", "object": object(), "list": [[1.0, 2.0]], "array": np.ones((3, 2))}
NUMBERS = {"nan": np.nan, "inf": np.inf, "negative": -1, "zero": 0, "half": torch.tensor(2.0).half(),
           "meta": torch.tensor(2.0, device="meta"), "two": [2.0, 3.0], "tensor": torch.tensor([2.0, 3.0])}  # fmt: skip
OPTIONAL = {
    "points",
    "pred_scheme",
    "scheme",
    "truth_scheme",
    "where",
    "seen",
    "use",
    "count",
    "k",
    "sigma_w",
    "affine",
    "boxes",
}
WIDTHS = {"sigma", "sigma_v", "sigma_w", "tau"}  # one a curve, one a target
NUMBERS_MAY = {  # what is a right argument here, of what is wrong elsewhere
    "negative": set(), "zero": {"beta", "gamma", "smoothing", "blur", "tau", "count", "share"}, "nan": set(),
    "inf": {"tau"},
    "two": WIDTHS, "tensor": WIDTHS, "half": set(), "meta": set(),
}  # fmt: skip
# A loss that is not finite is named by `training.fit`, with its step.
TRAINING = (
    "methods.subpixel",
    "methods.heatmap_regression",
    "networks.dan",
    "methods.conditional_warp.landmark_loss",
)
# NaN may mean: not labelled.
MISSING = {"t", "points", "landmarks", "labels", "truth", "errors", "pred", "shapes", "y", "cells", "pixels", "target"}
ENDLESS = {"t", "errors", "cells", "pixels"}  # inf may mean: never found; another unit of it is as far
ANY_DTYPE = {"image", "where", "seen"}
UNREAD = {"source", "self", "visible"}  # a sentence; the object of a method; handed on as it is


def of_tensors(x):
    """What is wrong in the place of a tensor."""
    flat = x.flatten()
    wrong = {"int": x.long(), "half": x.half(), "bfloat16": x.bfloat16(), "complex": x.to(torch.complex64),
             "double": x.double(), "meta": x.to("meta"), "flat": flat, "number": flat[0], "none": x[..., :0],
             "empty": x[:0], "short": x[..., :-1], "more": torch.cat([x, x], -1), "longer": torch.cat([x, x]),
             "batch": x.expand(3, *x.shape), "deep": x[None, None, None]}  # fmt: skip
    if x.is_floating_point():
        for name, value in (("nan", np.nan), ("inf", np.inf), ("-inf", -np.inf)):
            wrong[name] = torch.full_like(x, value)
            wrong["one " + name] = flat.index_fill(0, torch.tensor([flat.numel() // 2]), value).reshape(x.shape)
    return wrong


def wrong(name, value, of):
    """(what it is, a value, whether it must be refused) in the place of an argument."""
    for what, other in ANYTHING.items():
        yield what, other, not (what == "None" and name in OPTIONAL)
    if isinstance(value, torch.Tensor):
        for what, other in of_tensors(value).items():
            must = what in ("meta", "complex", "number")[: 1 if name in {"t", "image", "cells", "pixels"} else 3] or (
                what in ("int", "half", "bfloat16") and name not in ANY_DTYPE
            )
            seen = not of.startswith(TRAINING)
            must |= "inf" in what and name not in ENDLESS | ANY_DTYPE and seen
            must |= "nan" in what and name not in MISSING | ANY_DTYPE and seen
            yield what, other, must
    elif isinstance(value, float | int) and not isinstance(value, bool):
        for what, other in NUMBERS.items():
            yield what, other, name not in NUMBERS_MAY[what]


def answers():
    """Every answer to a wrong argument that is neither a refusal by name nor, where that may be, a result."""
    for name, function, arguments in calls():
        named = "|".join(inspect.signature(function).parameters)
        for at, value in arguments.items():
            if at in UNREAD and not (at == "source" and isinstance(value, torch.Tensor)):
                continue
            for what, other, must in wrong(at, value, name):
                try:
                    run(function, {**arguments, at: other})
                except (TypeError, ValueError) as error:
                    good = re.match(
                        rf"({named})[.a-zA-Z0-9]*(, ({named})[.a-zA-Z0-9]*)*: ", str(error)
                    ) and "got" in str(error)
                    if not (good and "needed" in str(error)):
                        yield f"{name}({at}={what}): {type(error).__name__}: {str(error)[:150]}"
                except Exception as error:
                    yield f"{name}({at}={what}): {type(error).__name__}: {str(error)[:150]}"
                else:
                    if must:
                        yield f"{name}({at}={what}): accepted"


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    found = list(answers())
    print(*found, sep="\n")
    sys.exit(bool(found))
