import numpy as np
import pytest
import torch
from beartype import beartype
from beartype.roar import BeartypeCallHintViolation
from jaxtyping import TypeCheckError, jaxtyped
from tests.nested_vit.small import built, configured
from tests.nested_vit.sources import InMemory
from tests.tolerances import assert_identity, assert_single

from theodolite.nested_vit.evaluation import without_global
from theodolite.nested_vit.lessons import Lessons
from theodolite.nested_vit.model import NestedViT, grid_positions, sinusoids
from theodolite.nested_vit.plain import PlainViT
from theodolite.nested_vit.windows import Windows


@pytest.fixture
def network():
    return built(configured(region_tokens=2))


def image(height=64, width=64, batch=1, seed=2):
    torch.manual_seed(seed)
    return torch.rand(batch, 3, height, width, dtype=torch.float64)


@pytest.mark.parametrize(("height", "width"), [(64, 64), (16, 16), (3, 5), (50, 100), (17, 64), (129, 31)])
@pytest.mark.parametrize("target", ["dense", "label"])
def test_images_of_any_size(height, width, target):
    for classes in (None, 5):
        network = built(configured(target=target, classes=classes))
        assert network.num_classes == classes or (1 if target == "dense" else 6)
        expected = (2, network.num_classes, *([height, width] if target == "dense" else []))
        assert network(image(height, width, batch=2)).shape == expected


def test_cutting_and_joining_give_the_image_back(network):
    pixels = image(64, 48, batch=3)
    windows = network.cut(pixels)
    assert network.seen(windows, windows.all) is None
    assert windows.grid == (3, 4, 3)
    assert torch.equal(network.join(windows.tiles(windows.all), windows), pixels)


def test_a_window_holds_its_patches_row_by_row(network):
    pixels = image(64, 64)
    windows = network.cut(pixels)
    patches, _ = network.start(windows.tiles(windows.all))
    patch = pixels[0, :, 16 + 8 : 16 + 12, 32 + 4 : 32 + 8]  # window (1, 2), patch (2, 1)
    expected = network.embed(patch.flatten()) + grid_positions(4, 4, torch.zeros(0, 16, dtype=torch.float64))[4 * 2 + 1]
    assert_identity(patches[4 * 1 + 2, 4 * 2 + 1].detach(), expected.detach())


def mask(network, windows):
    """Which patches are seen, as a map of pixels in whole windows."""
    seen = network.seen(windows, windows.all)[:, 2:].reshape(*windows.grid, 4, 4)
    return seen[0].permute(0, 2, 1, 3).flatten(2).flatten(0, 1).repeat_interleave(4, 0).repeat_interleave(4, 1)


def test_padding_is_masked_where_a_patch_lies_wholly_beyond_the_image(network):
    windows = network.cut(image(50, 100))
    assert windows.grid == (1, 4, 7)
    seen = mask(network, windows)
    rows, columns = torch.arange(64) // 4 * 4 < 50, torch.arange(112) // 4 * 4 < 100
    assert torch.equal(seen, rows[:, None] & columns)
    assert network.seen(windows, windows.all)[:, :2].all()
    chunks = [network.seen(windows, chosen) for chosen in windows.chunks(5)]
    assert torch.equal(torch.cat(chunks), network.seen(windows, windows.all))


def test_what_lies_in_the_padding_changes_nothing(network, monkeypatch):
    pixels = image(52, 100)
    said = network.forward_features(pixels)
    tiles = Windows.tiles

    def spoiled(windows, chosen, beyond=0):
        seen = Windows(mask(network, windows)[None, None, :, :], windows.side)
        found = tiles(windows, chosen, beyond)
        return torch.where(tiles(seen, chosen), found, 1e3 * torch.randn_like(found))

    monkeypatch.setattr(Windows, "tiles", spoiled)
    found = network.forward_features(pixels)
    assert_identity(network.forward_head(found).detach(), network.forward_head(said).detach())
    for clean, other in zip(said.left + said.entered, found.left + found.entered, strict=True):
        assert_identity(other.detach(), clean.detach())


def test_a_mask_of_ones_is_no_mask(network, monkeypatch):
    pixels = image(64, 64)
    said = network(pixels)
    monkeypatch.setattr(network, "seen", lambda windows, chosen: torch.ones(16, 18, dtype=torch.bool))
    assert_identity(network(pixels).detach(), said.detach())


def changed(pixels):
    """The image with other pixels in its first window."""
    other = pixels.clone()
    other[..., :16, :16] = torch.rand_like(other[..., :16, :16])
    return other


def test_windows_are_independent_until_the_global_blocks(network):
    pixels = image()
    before, after = network.forward_features(pixels), network.forward_features(changed(pixels))
    assert torch.equal(before.left[0][1:], after.left[0][1:])
    assert not torch.allclose(before.left[0][0], after.left[0][0])
    assert not torch.allclose(before.entered[0][1:], after.entered[0][1:])


def test_every_pixel_reads_every_window(network):
    pixels = image()
    difference = (network(pixels) - network(changed(pixels)))[:, 0].abs()
    assert (difference > 0).all()


def test_without_global_blocks_a_window_changes_itself_alone(network):
    alone = without_global(Lessons(network)).network
    pixels = image()
    difference = (alone(pixels) - alone(changed(pixels)))[:, 0].abs()
    assert (difference[:, :16, :16] > 0).any()
    difference[:, :16, :16] = 0
    assert not difference.any()
    assert sum(1 for _ in network.global_blocks[0].children()) == 2  # the original keeps its own


def test_stage_1_moves_with_the_windows_and_the_rest_knows_where_it_is(network):
    pixels = image()
    said, moved = (network.forward_features(each) for each in (pixels, torch.roll(pixels, (16, 32), dims=(2, 3))))
    left = torch.roll(said.left[0].reshape(4, 4, 32), (1, 2), dims=(0, 1)).reshape(16, 2, 16)
    assert_identity(moved.left[0].detach(), left.detach())
    dense, moved_dense = network.forward_head(said), network.forward_head(moved)
    assert not torch.allclose(torch.roll(dense, (16, 32), dims=(2, 3)), moved_dense)


def test_each_image_of_a_batch_is_by_itself(network):
    pair = image(50, 70, batch=2)
    together, alone = network(pair), network(pair[1:])
    assert_identity(together[1:].detach(), alone.detach())


def test_bytes_are_brightness_in_255ths(network):
    pixels = (255 * image(50, 70)).to(torch.uint8)
    assert_identity(network(pixels).detach(), network(pixels.double() / 255).detach())


def test_features_are_a_map_of_the_image_and_the_region_tokens(network):
    features = network.forward_features(image(50, 70, batch=2))
    assert features.patches.shape == (2, 13, 18, 16)  # patches that the image reaches
    assert features.regions.shape == (2, 4, 5, 2, 16)
    assert [tokens.shape for tokens in features.left + features.entered] == [(40, 2, 16)] * 4
    assert torch.equal(features.entered[-1].reshape(features.regions.shape), features.regions)
    assert features.size == (50, 70)


@pytest.mark.parametrize("target", ["dense", "label"])
def test_the_head_reads_what_comes_before_logits(target):
    network = built(configured(target=target, classes=3, region_tokens=2))
    features = network.forward_features(image(50, 70, batch=2))
    before = network.forward_head(features, pre_logits=True)
    assert before.shape == ((2, 13, 18, 16) if target == "dense" else (2, 16))
    logits = network.get_classifier()(before)
    said = network.forward_head(features)
    if target == "dense":
        pixel = logits[1, 7, 9].reshape(3, 4, 4)  # classes, rows and columns of one patch
        assert_identity(said[1, :, 28:32, 36:40].detach(), pixel.detach())
    else:
        assert_identity(said.detach(), logits.detach())


@pytest.mark.parametrize("target", ["dense", "label"])
def test_windows_are_read_as_the_whole_is(target):
    """Two routes: tokens of windows, as chunks read them, and the features' maps."""
    network = built(configured(target=target, classes=3, region_tokens=2))
    pixels = image(50, 70, batch=2)
    features, windows = network.forward_features(pixels), network.cut(pixels)
    patches, regions = network.start(windows.tiles(windows.all))
    for stage in range(2):
        patches, regions = network.within(stage, patches, regions, network.seen(windows, windows.all))
        regions = network.among(stage, regions, windows.grid)
    if target == "dense":
        said = network.join(network.read_dense(patches, regions), windows)
    else:
        said = network.read_label(regions, windows.grid)
    assert_identity(said.detach(), network.forward_head(features).detach())


def test_the_head_can_be_replaced_or_taken_away(network):
    pixels = image(50, 70)
    body = network.forward_features(pixels).patches
    network.reset_classifier(4)
    assert network(pixels).shape == (1, 4, 50, 70)
    assert (network.num_classes, network.get_classifier().out_features) == (4, 4 * 16)
    network.reset_classifier(7, target="label")
    assert network(pixels).shape == (1, 7)
    network.reset_classifier(0)
    assert network(pixels).shape == (1, network.num_features)
    assert network.num_classes == 0
    assert torch.equal(network.forward_features(pixels).patches, body)


def test_a_state_dict_loads_at_another_image_size(network):
    other = NestedViT(configured(region_tokens=2, size=4096, show_size=0)).double()
    other.load_state_dict(network.state_dict())
    for size in ((64, 64), (1, 1), (90, 33)):
        assert torch.equal(other(image(*size)), network(image(*size)))


@pytest.mark.parametrize("kind", [np.uint8, np.uint16])
@pytest.mark.parametrize("channels", [1, 2, 4])
def test_images_read_by_windows_of_any_channels(kind, channels):
    network = built(configured(channels=channels))
    highest = np.iinfo(kind).max
    pixels = np.random.default_rng(0).integers(0, highest, (50, 33, channels), endpoint=True).astype(kind)
    expected = network(torch.from_numpy(pixels / highest).permute(2, 0, 1)[None])
    assert_identity(network([InMemory(pixels)]).detach(), expected.detach())


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


def test_windows_are_told_their_place_once_and_as_loudly_as_the_settings_say():
    """Without global layers what enters them comes out, and the first stage adds places."""
    config = configured(place_scale=4.0)
    network = built(config)
    network.global_blocks = torch.nn.ModuleList(torch.nn.ModuleList() for _ in range(2))
    regions = torch.randn(2 * 12, 1, 16, dtype=torch.float64)
    places = 4 * grid_positions(3, 4, regions)
    told = network.among(0, regions, (2, 3, 4))
    assert_identity(told.detach(), (regions + torch.cat((places, places))[:, None]).detach())
    assert_identity(network.among(1, regions, (2, 3, 4)).detach(), regions)


@pytest.mark.parametrize("shape", [(3, 64, 64), (1, 3, 64), (2, 1, 3, 64, 64)])
def test_a_wrong_shape_is_refused(network, shape):
    forward = jaxtyped(typechecker=beartype)(NestedViT.forward)
    with pytest.raises((TypeCheckError, BeartypeCallHintViolation)):
        forward(network, torch.zeros(shape, dtype=torch.float64))


def test_annotated_shapes_are_the_real_ones(network):
    for method, arguments in (
        (NestedViT.cut, (image(50, 70),)),
        (NestedViT.start, (torch.zeros(5, 3, 16, 16, dtype=torch.float64),)),
        (
            NestedViT.read_dense,
            (torch.zeros(4, 16, 16, dtype=torch.float64), torch.zeros(4, 2, 16, dtype=torch.float64)),
        ),
    ):
        jaxtyped(typechecker=beartype)(method)(network, *arguments)
    named = built(configured(target="label", region_tokens=2))
    said = jaxtyped(typechecker=beartype)(NestedViT.read_label)(named, torch.zeros(12, 2, 16).double(), (2, 2, 3))
    assert said.shape == (2, 6)


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
    windows = network.cut(pixels)
    patches, _ = network.within(0, *network.start(windows.tiles(windows.all)), seen)
    assert_identity(patches.detach(), tokens[0].detach())
