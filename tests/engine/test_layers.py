from torch import nn
from torch.nn import functional as F

from theodolite.engine.layers import layers_of


def test_layers_are_found_once_each_with_what_makes_them_a_kind():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.parts = nn.ModuleList([nn.Linear(3, 4), nn.Linear(3, 4), nn.Conv2d(4, 6, 3, stride=2, groups=2)])
            self.act = nn.GELU()

        def forward(self, x):
            return F.scaled_dot_product_attention(x, x, x)

    names = {layer.name for layer in layers_of([Net(), nn.Linear(3, 4)])}
    assert names == {
        "Linear 3→4", "Conv2d 4→6, kernel 3×3, stride 2×2, 2 groups", "gelu", "attention", "attention with a mask",
    }  # fmt: skip


def test_every_depth_at_which_borders_meet_is_tried():
    (layer,) = layers_of([nn.Conv3d(2, 2, 3, padding=1)])
    assert {shape[2] for shape in layer.shapes} == {1, 2, 3, 4, 5, 6}
    (layer,) = layers_of([nn.Conv1d(2, 2, 5)])
    assert {shape[2] for shape in layer.shapes} == {5, 6, 7, 8, 9, 10, 32}
