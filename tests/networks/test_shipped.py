"""The weights that come with the package: small, whole, with a card that agrees with the recorded run."""

import json

import pytest
import torch

from lddmmlib import metrics
from lddmmlib.data.augment import Crops
from lddmmlib.experiments import _real, _record
from lddmmlib.faces import synthetic
from lddmmlib.networks import HRNetV2, shipped

LEAN = {"landmarks": 5, "width": 8, "modules": (1, 1, 1), "blocks": 1}
CARD = {"network": LEAN, "size": 64, "scheme": "lfw-74"}


@pytest.fixture(scope="module")
def net():
    return shipped.pretrained()


def nme(net, split, count=24):
    faces = Crops(synthetic.Faces(count, split), net.scheme, net.size)
    crops = [faces[i] for i in range(count)]
    with torch.no_grad():
        found = net(torch.stack([c.image for c in crops]).float() / 255)
    return metrics.nme(found.double(), torch.stack([c.landmarks for c in crops]).double(), "corners", net.scheme)


def test_it_finds_landmarks_on_drawn_faces_it_has_not_seen(net):
    assert nme(net, "wild-val").mean() < 0.06
    assert nme(net, "studio-val").mean() < 0.04


def test_it_comes_small_in_half_precision_ready_to_use(net):
    assert shipped.WEIGHTS.stat().st_size <= 10e6
    state, _ = shipped.read(shipped.WEIGHTS)
    assert {v.dtype for v in state.values() if v.is_floating_point()} == {torch.float16}
    assert not net.training
    assert next(net.parameters()).dtype == torch.float32


def test_its_card_is_the_recorded_run(net):
    result = json.loads((_record.RESULTS / f"{net.card['result']}.json").read_text(encoding="utf-8"))
    scored = net.card["error_percent_of_corner_distance"]
    assert scored == {name: result["figures"]["seeds"]["0"][name] for name in scored}
    assert net.card["provenance"]["commit"] == result["provenance"]["commit"]
    assert "no photograph" in net.card["trained_on"]


@pytest.mark.skipif("not __import__('os').environ.get('LDDMMLIB_REAL_DATA')", reason="needs LDDMMLIB_REAL_DATA")
def test_it_scores_on_photographs_what_its_card_says(net):
    """Half precision costs nothing that one can see."""
    from lddmmlib.experiments import realism

    faces = realism.crop_all(_real.photographs(measuring=True), net.size)
    pred, truth = realism.predict_all(net.net, faces, "cpu")
    told = net.card["error_percent_of_corner_distance"]["photographs"]["raw"]["all"]
    assert realism.summarise(pred, truth)["all"] == pytest.approx(told, rel=0.005)


def test_there_and_back(tmp_path):
    torch.manual_seed(0)
    net = HRNetV2(**LEAN).eval()
    for p in net.parameters():
        torch.nn.init.normal_(p, std=0.2)
    shipped.write(tmp_path / "w.safetensors", net, CARD)
    state, card = shipped.read(tmp_path / "w.safetensors")
    assert card == json.loads(json.dumps(CARD))
    assert state.keys() == net.state_dict().keys()
    assert {v.dtype for v in state.values() if v.is_floating_point()} == {torch.float16}
    for name, value in net.state_dict().items():
        torch.testing.assert_close(state[name].to(value.dtype), value, rtol=1e-3, atol=1e-7)


def test_a_card_without_what_is_needed_is_refused(tmp_path):
    with pytest.raises(ValueError, match="needed network, size and scheme, got none of scheme, size"):
        shipped.write(tmp_path / "w.safetensors", HRNetV2(**LEAN), {"network": LEAN})
    assert not any(tmp_path.iterdir())
