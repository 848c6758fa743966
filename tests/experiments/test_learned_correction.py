import pytest
import torch

from lddmmlib.experiments import learned_correction as tool


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


class Says(torch.nn.Module):
    """A network that gives one answer."""

    def __init__(self, answer):
        super().__init__()
        self.answer = answer

    def forward(self, images):
        return self.answer


def seen(k, seed, informed):
    """Views whose own features, or pooled ones, tell the place within the cell."""
    u = 4 + 8 * torch.rand(k, 3, 2, generator=torch.Generator().manual_seed(seed))
    rounding = u - tool.heatmaps.quantise(u)
    own = torch.cat([rounding, normal(k, 3, 4, seed=seed + 1)], -1)
    pooled = normal(k, 6, seed=seed + 2)
    if informed == "pooled":
        own, pooled = own[..., 2:], torch.cat([rounding.flatten(1), pooled], 1)
    maps = tool.heatmaps.encode(u, (16, 16), 2.0)
    deltas = dict.fromkeys(("pooled, static", "at the peak, dynamic"), 0.5 * rounding)
    return tool.Seen(maps, deltas, pooled, own, u, torch.ones(k, 3, dtype=torch.bool))


@pytest.mark.parametrize("informed", ["own", "pooled"])
def test_the_probes_find_what_is_there_and_nothing_else(informed):
    told = tool.probes(seen(600, 0, informed), seen(300, 10, informed))
    there, absent = ("at the landmark's own cell", "pooled over the map")[:: 1 if informed == "own" else -1]
    assert told[there] > 0.98
    assert abs(told[absent]) < 0.05


def test_half_a_correction_explains_three_quarters(monkeypatch):
    monkeypatch.setattr(tool.metrics, "nme", lambda pred, truth, *_: (pred - truth).norm(dim=-1).mean(-1))
    told = tool.summarise(seen(400, 0, "own"), seen(400, 10, "own"))
    for r2 in told["explained"].values():
        assert r2["held out"] == pytest.approx(0.75, abs=0.02)
    nme = {name: row["value"] for name, row in told["nme_percent"].items()}
    assert nme["the true rounding"] == pytest.approx(0, abs=1e-4)
    assert nme["pooled, static"] == pytest.approx(nme["argmax"] / 2, rel=0.01)
    assert nme["quarter"] == pytest.approx(nme["argmax"] / 2, rel=0.05)
    assert told["in_the_right_cell"] == 1


def test_the_correction_at_the_peak_is_read_there():
    torch.manual_seed(0)
    model = tool.Corrections(tool.SIZES["smoke"].network()).eval()
    images = torch.rand(2, 3, 64, 64)
    with torch.no_grad():
        maps, deltas = model(images)
        field = model.field(model.net.features(images)[-1][0])
    for b, n in ((0, 0), (1, 67)):
        i, j = divmod(maps[-1][b, n].argmax().item(), 16)
        torch.testing.assert_close(deltas["at the peak, dynamic"][b, n], field[b, 2 * n : 2 * n + 2, i, j])


def test_the_loss_is_the_librarys_with_each_correction():
    """With one Δ at a time it is `subpixel.correction_loss`, which the recorded rivals were trained by."""
    torch.manual_seed(0)
    model = tool.Corrections(tool.SIZES["smoke"].network())
    faces = tool.draw_faces(2, "wild", tool.SIZES["smoke"], tool.Path("/nowhere"))
    data = tool.subpixel.Views(tool.Crops(faces, tool.SCHEME.name, 64, tool.subpixel.RECIPE))
    pair = torch.utils.data.default_collate([data.draw(i, tool.np.random.default_rng(i)) for i in range(2)])
    batch = tool.subpixel.both(pair)
    maps, deltas = model(tool.network_input(batch.image))
    alone = tool.l2_of_stacks(maps, batch, tool.SIGMA, "round")
    each = [tool.subpixel.correction_loss(Says((maps, d)), batch, tool.SIGMA, "dynamic" in name)
            for name, d in deltas.items()]  # fmt: skip
    torch.testing.assert_close(tool.loss(model, pair), sum(each) - 2 * alone)


def test_a_small_run_end_to_end(tmp_path):
    told = tool.train("three corrections", 0, "smoke", "cpu", tmp_path).figures
    assert told["explained"].keys() == {"pooled, static", "pooled, dynamic", "at the peak, dynamic"}
    assert told["nme_percent"].keys() >= {"argmax", "quarter", "local_soft", "the true rounding", *told["explained"]}
    assert told["probes"].keys() == {"pooled over the map", "at the landmark's own cell"}
