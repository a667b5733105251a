import pytest
import torch
from beartype import beartype
from beartype.roar import BeartypeCallHintViolation
from jaxtyping import TypeCheckError, jaxtyped
from tests.nested_vit.small import built, configured
from tests.tolerances import assert_identity, assert_single

from theodolite.nested_vit.evaluation import without_global
from theodolite.nested_vit.model import NestedViT, grid_positions, sinusoids
from theodolite.nested_vit.plain import PlainViT


@pytest.fixture
def network():
    return built(configured(region_tokens=2))


def image(height=64, width=64, batch=1, seed=2):
    torch.manual_seed(seed)
    return torch.rand(batch, 3, height, width, dtype=torch.float64)


@pytest.mark.parametrize(("height", "width"), [(64, 64), (16, 16), (3, 5), (50, 100), (17, 64), (129, 31)])
@pytest.mark.parametrize("target", ["dense", "label"])
def test_images_of_any_size(height, width, target):
    said = built(configured(target=target))(image(height, width, batch=2))
    windows = 2 * -(-height // 16) * -(-width // 16)
    assert said.target.shape == ((2, height, width) if target == "dense" else (2, 6))
    assert said.digits.shape == (windows, 6)
    assert said.twins.shape == (windows, 1)


def test_cutting_and_joining_give_the_image_back(network):
    pixels = image(64, 48, batch=3)
    windows = network.cut(pixels)
    assert windows.seen is None
    assert windows.grid == (3, 4, 3)
    for colour in range(3):
        assert torch.equal(
            network.join(windows.pixels[..., 16 * colour : 16 * (colour + 1)], windows.grid), pixels[:, colour]
        )


def test_a_window_holds_its_patches_row_by_row(network):
    pixels = image(64, 64)
    windows = network.cut(pixels).pixels
    patch = pixels[0, :, 16 + 8 : 16 + 12, 32 + 4 : 32 + 8]  # window (1, 2), patch (2, 1)
    assert torch.equal(windows[4 * 1 + 2, 4 * 2 + 1], patch.flatten())


def test_padding_is_masked_where_a_patch_lies_wholly_beyond_the_image(network):
    windows = network.cut(image(50, 100))
    assert windows.grid == (1, 4, 7)
    seen = network.join(windows.seen[:, 2:, None].expand(-1, -1, 16), windows.grid)[0]
    rows, columns = torch.arange(64) // 4 * 4 < 50, torch.arange(112) // 4 * 4 < 100
    assert torch.equal(seen, rows[:, None] & columns)
    assert windows.seen[:, :2].all()


def test_what_lies_in_the_padding_changes_nothing(network, monkeypatch):
    pixels = image(52, 100)
    said = network(pixels)
    cut = network.cut(pixels)
    garbage = torch.where(cut.seen[:, 2:, None], cut.pixels, 1e3 * torch.randn_like(cut.pixels))
    monkeypatch.setattr(network, "cut", lambda images: cut._replace(pixels=garbage))
    for clean, spoiled in zip(said, network(pixels), strict=True):
        assert_identity(spoiled.detach(), clean.detach())


def test_a_mask_of_ones_is_no_mask(network, monkeypatch):
    pixels = image(64, 64)
    said, cut = network(pixels), network.cut(pixels)
    monkeypatch.setattr(network, "cut", lambda images: cut._replace(seen=torch.ones(16, 18, dtype=torch.bool)))
    for clean, masked in zip(said, network(pixels), strict=True):
        assert_identity(masked.detach(), clean.detach())


def changed(pixels):
    """The image with other pixels in its first window."""
    other = pixels.clone()
    other[..., :16, :16] = torch.rand_like(other[..., :16, :16])
    return other


def test_windows_are_independent_until_the_global_blocks(network):
    pixels = image()
    before, after = network(pixels), network(changed(pixels))
    assert torch.equal(before.digits[1:], after.digits[1:])
    assert not torch.allclose(before.digits[0], after.digits[0])


def test_every_pixel_reads_every_window(network):
    pixels = image()
    difference = (network(pixels).target - network(changed(pixels)).target).abs()
    assert (difference > 0).all()


def test_without_global_blocks_a_window_changes_itself_alone(network):
    alone = without_global(network)
    pixels = image()
    difference = (alone(pixels).target - alone(changed(pixels)).target).abs()
    assert (difference[:, :16, :16] > 0).any()
    difference[:, :16, :16] = 0
    assert not difference.any()
    assert sum(1 for _ in network.global_blocks[0].children()) == 2  # the original keeps its own


def test_stage_1_moves_with_the_windows_and_the_rest_knows_where_it_is(network):
    pixels = image()
    said, moved = network(pixels), network(torch.roll(pixels, (16, 32), dims=(2, 3)))
    digits = torch.roll(said.digits.reshape(4, 4, 6), (1, 2), dims=(0, 1)).reshape(16, 6)
    assert_identity(moved.digits.detach(), digits.detach())
    assert not torch.allclose(torch.roll(said.target, (16, 32), dims=(1, 2)), moved.target)


def test_each_image_of_a_batch_is_by_itself(network):
    pair = image(50, 70, batch=2)
    together, alone = network(pair), network(pair[1:])
    assert_identity(together.target[1:].detach(), alone.target.detach())
    assert_identity(together.twins[len(alone.twins) :].detach(), alone.twins.detach())


def test_bytes_are_brightness_in_255ths(network):
    pixels = (255 * image(50, 70)).to(torch.uint8)
    assert_identity(network(pixels).target.detach(), network(pixels.double() / 255).target.detach())


def test_positions_are_the_sines_and_cosines_of_the_paper():
    positions = sinusoids(torch.tensor([3.0]), torch.tensor([7.0]), 8)[0]
    expected = [torch.tensor(x).sin() for x in (3.0, 0.03, 7.0, 0.07)] + [
        torch.tensor(x).cos() for x in (3.0, 0.03, 7.0, 0.07)
    ]
    assert_single(positions, torch.stack(expected))


def test_positions_of_a_grid_differ_and_do_not_depend_on_its_size():
    small, large = (grid_positions(3, columns, torch.zeros(0, 16)) for columns in (4, 9))
    assert small.shape == (12, 16)
    assert len(torch.unique(small, dim=0)) == 12
    assert torch.equal(small.reshape(3, 4, 16), large.reshape(3, 9, 16)[:, :4])


@pytest.mark.parametrize("shape", [(3, 64, 64), (1, 1, 64, 64), (1, 3, 64)])
def test_a_wrong_shape_is_refused(network, shape):
    forward = jaxtyped(typechecker=beartype)(NestedViT.forward)
    with pytest.raises((TypeCheckError, BeartypeCallHintViolation)):
        forward(network, torch.zeros(shape, dtype=torch.float64))


def test_annotated_shapes_are_the_real_ones(network):
    for method, arguments in (
        (NestedViT.cut, (image(50, 70),)),
        (NestedViT.start, (network.cut(image()).pixels,)),
        (NestedViT.read_digits, (torch.zeros(4, 2, 16, dtype=torch.float64),)),
        (NestedViT.read_twins, (torch.zeros(4, 2, 16, dtype=torch.float64),)),
        (
            NestedViT.read_dense,
            (torch.zeros(4, 16, 16, dtype=torch.float64), torch.zeros(4, 2, 16, dtype=torch.float64)),
        ),
    ):
        jaxtyped(typechecker=beartype)(method)(network, *arguments)


def test_a_plain_network_attends_everywhere():
    torch.manual_seed(0)
    plain = PlainViT(8, 16, 2, 1, 5).double()
    pixels = image()
    assert plain(pixels).shape == (1, 5)
    assert not torch.allclose(plain(pixels), plain(changed(pixels)))


def test_one_window_with_its_region_token_cut_off_is_a_plain_network():
    """Two routes: local blocks over one window, masked from the region token, are the blocks of a plain ViT."""
    config = configured(stages=1, size=16 * 2, window=8)
    network = built(config)
    plain = PlainViT(4, 16, 2, 2, 1).double()
    plain.embed.load_state_dict(network.embed.state_dict())
    plain.blocks.load_state_dict(network.local_blocks[0].state_dict())
    pixels = image(32, 32)
    tokens = []
    plain.norm.register_forward_hook(lambda module, given, result: tokens.append(given[0]))
    plain(pixels)
    seen = torch.ones(1, 65, dtype=torch.bool)
    seen[:, 0] = False
    patches, _ = network.within(0, *network.start(network.cut(pixels).pixels), seen)
    assert_identity(patches.detach(), tokens[0].detach())
