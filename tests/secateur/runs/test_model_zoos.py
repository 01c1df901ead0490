"""Networks of other packages, fitted to the data."""

import subprocess
import sys
import types
from pathlib import Path

import pytest
import torch
from torch import nn

from secateur.config.registry import Registry
from secateur.hooks import plugin_manager
from secateur.runs.model_zoos import timm_network, torchvision_network
from secateur.utils.errors import UserError
from secateur.utils.torchvision_import import torchvision

ROOT = Path(__file__).parents[3]
SMALL = [
    "resnet18",
    "mobilenet_v2",
    "squeezenet1_0",
    "shufflenet_v2_x1_0",
    pytest.param("densenet121", marks=pytest.mark.slow),
    pytest.param("googlenet", marks=pytest.mark.slow),
    pytest.param("vgg11_bn", marks=pytest.mark.slow),
]


@pytest.fixture(scope="module")
def registry():
    return Registry(plugin_manager()[0])


def extra(name):
    return {"aux_logits": False, "init_weights": False} if name == "googlenet" else {}


def first_layer(network):
    return next(module for module in network.modules() if isinstance(module, nn.Conv2d))


def check_fits(network, input_shape, num_classes):
    network.train()
    logits = network(torch.rand(2, *input_shape, generator=torch.Generator().manual_seed(1)))
    assert isinstance(logits, torch.Tensor), "auxiliary heads must be off"
    assert logits.shape == (2, num_classes)
    assert logits.isfinite().all()
    nn.functional.cross_entropy(logits, torch.tensor([0, num_classes - 1])).backward()
    assert first_layer(network).weight.grad.isfinite().all()


@pytest.mark.parametrize("name", SMALL)
def test_a_network_of_torchvision_takes_one_channel_and_seven_classes(name):
    torch.manual_seed(0)
    network = torchvision_network(name, (1, 32, 32), 7)
    original = first_layer(torchvision.models.get_model(name, weights=None, num_classes=7, **extra(name)))
    fitted = first_layer(network)
    assert fitted.in_channels == 1
    for fact in ("out_channels", "kernel_size", "stride", "padding", "dilation", "groups"):
        assert getattr(fitted, fact) == getattr(original, fact), fact
    assert (fitted.bias is None) == (original.bias is None)
    check_fits(network, (1, 32, 32), 7)


@pytest.mark.slow
def test_a_transformer_of_torchvision_takes_one_channel_and_seven_classes():
    torch.manual_seed(0)
    network = torchvision_network("vit_b_16", (1, 224, 224), 7)
    with torch.no_grad():
        logits = network.eval()(torch.rand(2, 1, 224, 224))
    assert logits.shape == (2, 7)
    assert logits.isfinite().all()


@pytest.mark.slow
def test_a_transformer_of_torchvision_takes_small_images():
    with torch.device("meta"):
        network = torchvision_network("vit_b_16", (3, 32, 32), 10)
        assert network(torch.zeros(2, 3, 32, 32)).shape == (2, 10)


def test_three_channels_leave_the_network_as_torchvision_makes_it():
    torch.manual_seed(3)
    ours = torchvision_network("resnet18", (3, 32, 32), 10).state_dict()
    torch.manual_seed(3)
    theirs = torchvision.models.resnet18(weights=None, num_classes=10).state_dict()
    assert list(ours) == list(theirs)
    assert all(ours[key].equal(theirs[key]) for key in ours)


def test_fresh_weights_follow_the_seed():
    weights = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        weights.append(first_layer(torchvision_network("squeezenet1_0", (2, 32, 32), 3)).weight)
    assert weights[0].equal(weights[1])
    assert not weights[0].equal(weights[2])


@pytest.mark.parametrize(("name", "meant"), [("resnet81", "resnet18"), ("VGG11_BM", "vgg11_bn")])
def test_an_unknown_network_of_torchvision_is_refused_with_the_nearest(name, meant):
    with pytest.raises(UserError, match=f"torchvision has no classification network '{name}': did you mean .*{meant}"):
        torchvision_network(name, (3, 32, 32), 10)


@pytest.mark.parametrize("name", ["fcn_resnet50", "fasterrcnn_resnet50_fpn", "raft_small", "r3d_18", "ResNet", "nn"])
def test_what_does_not_classify_images_is_no_network(name):
    with pytest.raises(UserError, match="no classification network"):
        torchvision_network(name, (3, 32, 32), 10)


def test_the_registry_builds_a_network_of_torchvision_by_its_prefix(registry):
    component = registry.find("models", "torchvision:squeezenet1_0")
    assert component.name == "torchvision:squeezenet1_0"
    network = component.load()(input_shape=(1, 32, 32), num_classes=5)
    assert isinstance(network, torchvision.models.SqueezeNet)
    assert network.classifier[1].out_channels == 5


def test_an_unknown_zoo_is_refused_with_the_nearest(registry):
    with pytest.raises(UserError, match=r"no model zoo 'torchvison': did you mean torchvision"):
        registry.find("models", "torchvison:resnet18")


def test_timm_missing_is_told_in_one_line(registry, monkeypatch):
    find_spec = sys.modules["importlib.util"].find_spec
    monkeypatch.setattr("importlib.util.find_spec", lambda name, *rest: None if name == "timm" else find_spec(name))
    with pytest.raises(UserError) as caught:
        registry.find("models", "timm:resnet18")
    assert str(caught.value) == "--model timm:resnet18 needs the package timm: pip install timm"


class FakeTimm(types.ModuleType):
    """As much of timm as is asked for: entry points take any options, and only fixed sizes take `img_size`."""

    def __init__(self):
        super().__init__("timm")
        self.created = []

    def list_models(self):
        return ["resnet18", "vit_tiny_patch16_224"]

    def model_entrypoint(self, name):
        def entrypoint(pretrained=False, **kwargs):
            return nn.Identity()

        return entrypoint

    def get_pretrained_cfg(self, name, allow_unregistered=True):
        return types.SimpleNamespace(fixed_input_size=name.startswith("vit"))

    def get_pretrained_cfg_value(self, name, key):
        return getattr(self.get_pretrained_cfg(name), key, None)

    def create_model(self, name, pretrained=False, **options):
        if "img_size" in options and name == "resnet18":
            raise TypeError("ResNet.__init__() got an unexpected keyword argument 'img_size'")
        self.created.append((name, pretrained, options))
        return nn.Identity()


@pytest.fixture
def timm(monkeypatch):
    fake = FakeTimm()
    fake.models = fake
    monkeypatch.setitem(sys.modules, "timm", fake)
    monkeypatch.setitem(sys.modules, "timm.models", fake)
    return fake


def test_a_network_of_timm_is_built_fresh_for_the_data(timm):
    timm_network("resnet18", (1, 32, 32), 7)
    assert timm.created == [("resnet18", False, {"num_classes": 7, "in_chans": 1})]


def test_a_network_of_timm_for_one_size_of_image_gets_that_size(timm):
    timm_network("vit_tiny_patch16_224", (3, 64, 48), 7)
    [(name, pretrained, options)] = timm.created
    assert (name, pretrained) == ("vit_tiny_patch16_224", False)
    assert options == {"num_classes": 7, "in_chans": 3, "img_size": (64, 48)}


def test_an_unknown_network_of_timm_is_refused_with_the_nearest(timm):
    with pytest.raises(UserError, match="timm has no network 'resnet81': did you mean resnet18"):
        timm_network("resnet81", (3, 32, 32), 7)


@pytest.mark.slow
def test_timm_is_imported_where_torchvision_alone_would_not_import(tmp_path):
    # timm imports torchvision itself; see utils/torchvision_import.py for what that needs.
    (tmp_path / "timm.py").write_text(
        "import torchvision.transforms\n"
        "def list_models(*_, **__): return ['net']\n"
        "def model_entrypoint(name): return lambda pretrained=False, **options: None\n"
        "def get_pretrained_cfg(name, allow_unregistered=True): return None\n"
        "def get_pretrained_cfg_value(name, key): return None\n"
        "def create_model(name, **options): return 'built'\n"
    )
    script = (
        f"import sys; sys.path.insert(0, {str(tmp_path)!r})\n"
        "from secateur.runs.model_zoos import timm_network\n"
        "print(timm_network('net', (3, 32, 32), 10))"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "built\n"
