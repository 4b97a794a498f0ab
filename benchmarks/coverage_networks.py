"""The networks of the coverage table: this project's, torchvision's, timm's."""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn

from eagleeye.models import build


@dataclass(frozen=True)
class Entry:
    """One network: where it comes from, its name there, and the side of the square pictures it is traced with."""

    source: str
    name: str
    side: int

    def make(self) -> nn.Module:
        """The network with random weights for ten classes."""
        if self.source == "timm":
            import timm

            made: nn.Module = timm.create_model(self.name, pretrained=False, num_classes=10)
            return made
        if self.source == "torchvision":
            import torchvision

            options = {"init_weights": False} if self.name in ("googlenet", "inception_v3") else {}
            made = torchvision.models.get_model(self.name, weights=None, num_classes=10, **options)
            return made  # noqa: RET504
        return build(self.name, num_classes=10)


_OURS = "cifar_resnet20 cifar_resnet56 mobilenet_v1_cifar mobilenet_v1"
_TORCHVISION = """
    resnet18 resnet34 resnet50 resnet101 resnet152 resnext50_32x4d wide_resnet50_2 alexnet vgg11_bn
    densenet121 densenet169 googlenet inception_v3 mobilenet_v2 mobilenet_v3_large mobilenet_v3_small
    mnasnet0_5 mnasnet0_75 mnasnet1_0 mnasnet1_3 shufflenet_v2_x0_5 shufflenet_v2_x1_0 shufflenet_v2_x1_5
    shufflenet_v2_x2_0 squeezenet1_0 squeezenet1_1 efficientnet_b0 efficientnet_b1 efficientnet_b2
    efficientnet_b3 efficientnet_b4 efficientnet_v2_s regnet_x_400mf regnet_x_800mf regnet_x_1_6gf
    regnet_x_3_2gf regnet_y_400mf regnet_y_800mf regnet_y_1_6gf regnet_y_3_2gf convnext_tiny
"""
_TORCHVISION_LARGE = """
    wide_resnet101_2 resnext101_32x8d vgg13_bn vgg16_bn vgg19_bn densenet161 densenet201 efficientnet_b5
    efficientnet_b6 efficientnet_b7 efficientnet_v2_m efficientnet_v2_l regnet_x_8gf regnet_x_16gf
    regnet_x_32gf regnet_y_8gf regnet_y_16gf regnet_y_32gf convnext_small convnext_base convnext_large
"""
_TIMM = """
    resnet26t resnet50d resnetrs50 resnetblur50 ecaresnet26t seresnext26t_32x4d wide_resnet50_2 resnest26d
    skresnet18 skresnext50_32x4d res2net50_14w_8s res2next50 legacy_seresnet18 tresnet_m gernet_s resnetv2_50
    resnetv2_50x1_bit resnet50_gn nf_resnet26 dm_nfnet_f0 nf_regnet_b0 eca_nfnet_l0 regnety_002 regnetz_b16
    repvgg_a0 mobileone_s1 repghostnet_050 repvit_m0_9 efficientnet_b0 tf_efficientnetv2_b0 efficientnet_b0_gn
    efficientnet_lite0 mobilenetv3_large_075 mobilenetv4_conv_small mixnet_s tinynet_e fbnetc_100 fbnetv3_b
    hardcorenas_a semnasnet_075 spnasnet_100 lcnet_050 lcnetv2_base rexnet_100 ghostnet_100 ghostnetv2_100
    hrnet_w18_small dla60_res2net ese_vovnet19b_slim_dw ese_vovnet39b cs3darknet_s cspresnet50 cspresnext50
    cspdarknet53 darknet53 dpn68 dpn68b densenetblur121d rdnet_tiny legacy_xception xception41 inception_v4
    inception_resnet_v2 selecsls42 hgnet_tiny hgnetv2_b0 convnext_atto convnextv2_atto edgenext_xx_small
    convmixer_768_32 poolformer_s12 focalnet_tiny_srf starnet_s1 fasternet_t0 inception_next_atto
    mambaout_femto cspnext_tiny nasnetalarge pnasnet5large
"""
_SIDES = {"inception_v3": 299, "inception_v4": 160, "inception_resnet_v2": 160, "nasnetalarge": 96}


def _entries(source: str, names: str) -> list[Entry]:
    return [Entry(source, name, _SIDES.get(name, 32 if "cifar" in name else 64)) for name in names.split()]


NETWORKS: tuple[Entry, ...] = (
    *_entries("eagleeye", _OURS),
    *_entries("torchvision", _TORCHVISION),
    *_entries("timm", _TIMM),
    *_entries("torchvision", _TORCHVISION_LARGE),
)
