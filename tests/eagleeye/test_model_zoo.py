"""Networks of timm, one or two of a family; needs the extra `timm`."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

import eagleeye
from tests.eagleeye.channels.test_left_out import assert_accounted
from tests.eagleeye.networks import lively
from tests.eagleeye.test_prune import counted_macs, counted_params

timm = pytest.importorskip("timm", reason="needs the extra: pip install eagleeye-pruning[timm]")

# Fixed depthwise blurs, "same" padding by size, standardised weights, group norms, normalisations with activations.
QUICK = ["resnet10t", "lcnet_050", "tf_mobilenetv3_small_minimal_100", "nf_resnet26"]
MORE = [
    "resnet26t", "resnet50d", "resnetblur50", "ecaresnet26t", "seresnext26t_32x4d", "resnest26d", "skresnet18",
    "res2net50_14w_8s", "legacy_seresnet18", "tresnet_m", "gernet_s", "resnetv2_50", "resnetv2_50x1_bit",
    "resnet50_gn", "nf_regnet_b0", "eca_nfnet_l0", "regnety_002", "regnetz_b16", "repvgg_a0", "mobileone_s1",
    "repghostnet_050", "repvit_m0_9", "efficientnet_b0", "tf_efficientnetv2_b0", "efficientnet_b0_gn",
    "mobilenetv4_conv_small", "mixnet_s", "tinynet_e", "fbnetc_100", "hardcorenas_a", "semnasnet_075", "rexnet_100",
    "ghostnet_100", "hrnet_w18_small", "dla60_res2net", "ese_vovnet19b_slim_dw", "cs3darknet_s", "cspresnet50",
    "darknet53", "dpn68", "densenetblur121d", "rdnet_tiny", "legacy_xception", "selecsls42", "hgnetv2_b0",
    "convnext_atto", "convnextv2_atto", "edgenext_xx_small", "starnet_s1", "fasternet_t0", "cspnext_tiny",
]  # fmt: skip


@pytest.mark.parametrize("name", [*QUICK, *(pytest.param(name, marks=pytest.mark.slow) for name in MORE)])
def test_a_network_of_timm_meets_the_criterion_and_loads_without_timm(name: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    network, x = lively(timm.create_model(name, pretrained=False, num_classes=7)), torch.randn(2, 3, 64, 64)
    space = eagleeye.trace(network, x[:1])
    assert_accounted(network, space, (x[:1],))
    rates = np.random.default_rng(0).uniform(0, 0.8, len(space.groups)).tolist()
    assert eagleeye.check(network, space, rates, x) < 1e-9
    thin, costs = eagleeye.prune(network, space, rates), space.cost_of(np.array([space.widths_of(rates)]))
    assert int(costs.params[0]) == counted_params(thin)
    assert int(costs.macs[0]) == counted_macs(thin, x)
    eagleeye.save(thin, tmp_path / "thin.safetensors")
    with torch.inference_mode():
        assert torch.equal(eagleeye.load(tmp_path / "thin.safetensors")(x), thin(x))
