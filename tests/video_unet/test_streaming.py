"""A video in chunks gives what it gives whole; every layer against the same layer on all frames at once."""

import weakref

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode

from theodolite.engine.convolution import Conv3d
from theodolite.kernel.errors import DataError
from theodolite.video_unet import streaming
from theodolite.video_unet.config import VideoUNetConfig
from theodolite.video_unet.model import VideoUNet
from theodolite.video_unet.streaming import streamed

MORE_MEMORY, MORE_WORK = 1.05, 1.1
"""What a video 10 times longer may take, and what streaming may do more than one pass."""


def network(**fields):
    torch.manual_seed(0)
    built = VideoUNet(VideoUNetConfig(**{"base": 2, "height": 8, "width": 8, "frames": 8, **fields})).double()
    for name, parameter in built.named_parameters():
        if name.endswith("bias"):
            torch.nn.init.normal_(parameter, std=0.3)  # so that a missing or an added bias shows
    return built


def assert_streams(built, video, cuts):
    """Of one value type: the joined stream is the whole result, up to what the module promises."""
    with torch.no_grad():
        whole = built(video)
    stream = torch.cat(list(streamed(built, video.split(cuts, dim=2))), dim=2)
    assert stream.shape == whole.shape
    assert (stream - whole).abs().max() <= streaming.ERROR[video.dtype] * whole.abs().max()


@st.composite
def cases(draw):
    pool, stages = draw(st.integers(2, 3) | st.tuples(*[st.integers(1, 3)] * 3)), draw(st.integers(1, 3))
    rounding = draw(st.sampled_from(["up", "down"]))
    if rounding == "down" and pool != 2:
        stages = min(stages, 2)  # else only long videos would do
    odd = st.sampled_from([1, 3, 5])
    fields = {
        "stages": stages,
        "convs_per_stage": draw(st.integers(1, 2)),
        "kernel": draw(odd | st.tuples(odd, odd, odd)),
        "pool": pool,
        "up": draw(st.sampled_from(["transposed", "resize"])),
        "rounding": rounding,
        "skips": draw(st.booleans()),
        "code_channels": draw(st.sampled_from([None, 1])),
        "channels": draw(st.sampled_from([1, 3])),
    }
    pools = pool if isinstance(pool, tuple) else (pool,) * 3
    least = [side**stages if rounding == "down" else 1 for side in pools]
    fields |= dict(zip(("frames", "height", "width"), least, strict=True))
    size = (draw(st.integers(least[0], 40)), draw(st.integers(least[1], 11)), draw(st.integers(least[2], 11)))
    cuts = draw(st.lists(st.integers(1, 9), min_size=40, max_size=40))
    return fields, size, cuts


def cut(lengths, total):
    """The first of the lengths that make up a total."""
    chosen = []
    for length in lengths:
        chosen.append(min(length, total - sum(chosen)))
        if sum(chosen) == total:
            return chosen
    raise AssertionError("the lengths do not suffice")


@settings(max_examples=60)
@given(cases(), st.sampled_from([torch.float32, torch.float64]))
def test_any_network_streams_any_video_in_any_chunks(case, dtype):
    fields, size, cuts = case
    built = network(**fields).to(dtype)
    assert_streams(built, torch.rand(1, fields["channels"], *size, dtype=dtype), cut(cuts, size[0]))


@pytest.mark.parametrize("rounding", ["up", "down"])
@pytest.mark.parametrize("skips", [True, False])
def test_every_length_from_1_to_40(rounding, skips):
    built = network(stages=2, rounding=rounding, skips=skips)
    for frames in range(4 if rounding == "down" else 1, 41):
        assert_streams(built, torch.rand(2, 3, frames, 5, 7, dtype=torch.float64), cut([3] * 20, frames))


@pytest.mark.parametrize("size", [(21, 16, 16), (40, 24, 24)])
def test_in_single_precision_not_one_bit_differs(size):
    """The larger one is of a size at which torch, left to itself, convolves the whole in another way than chunks."""
    torch.manual_seed(0)
    built, video = VideoUNet(VideoUNetConfig(base=32, stages=2)), torch.rand(1, 3, *size)
    with torch.inference_mode():
        whole = built(video)
    assert torch.equal(torch.cat(list(streamed(built, video.split(8, dim=2))), dim=2), whole)


@pytest.mark.filterwarnings("ignore:TF32 acceleration")
def test_where_sums_keep_their_order_not_one_bit_differs():
    torch.manual_seed(0)
    built, video = VideoUNet(VideoUNetConfig(base=8)), torch.rand(1, 3, 21, 16, 16)
    with torch.backends.mkldnn.flags(enabled=False):
        stream = torch.cat(list(streamed(built, video.split(5, dim=2))), dim=2)
        with torch.no_grad():
            assert torch.equal(stream, built(video))


def test_kernels_and_windows_that_differ_along_the_axes():
    built = network(stages=1, convs_per_stage=1)
    built.encoders[0].convolutions[0] = Conv3d(3, 2, (5, 1, 3)).double()
    built.encoders[0].pool = nn.MaxPool3d((3, 2, 1), ceil_mode=True)
    built.decoders[0].up = nn.ConvTranspose3d(4, 2, (3, 2, 1), stride=(3, 2, 1)).double()
    assert_streams(built, torch.rand(1, 3, 16, 6, 7, dtype=torch.float64), [1] * 16)


def test_a_window_of_one_frame_leaves_time_alone():
    built = network(stages=1)
    built.encoders[0].pool = nn.MaxPool3d((1, 2, 2), ceil_mode=True)
    built.decoders[0].up = nn.ConvTranspose3d(4, 2, (1, 2, 2), stride=(1, 2, 2)).double()
    assert_streams(built, torch.rand(1, 3, 11, 6, 7, dtype=torch.float64), [4, 4, 3])


def test_an_up_convolution_that_repeats_and_then_convolves():
    built = network(stages=1)
    built.decoders[0].up = nn.Sequential(nn.Upsample(scale_factor=2), nn.Conv3d(4, 2, 3, padding=1)).double()
    assert_streams(built, torch.rand(1, 3, 13, 6, 7, dtype=torch.float64), [4, 4, 5])


def test_a_layer_that_looks_at_the_whole_is_refused():
    built = network(stages=1)
    built.decoders[0].up = nn.Upsample(scale_factor=2, mode="trilinear")
    with pytest.raises(TypeError, match="Upsample cannot be streamed"):
        list(streamed(built, [torch.rand(1, 3, 8, 8, 8, dtype=torch.float64)]))


def test_no_video_and_one_that_rounding_down_leaves_nothing_of():
    assert list(streamed(network(), [])) == []
    with pytest.raises(DataError, match="shorter than what a network that rounds down pools away"):
        list(streamed(network(rounding="down"), [torch.rand(1, 3, 7, 8, 8, dtype=torch.float64)]))


def test_the_mode_without_gradients_ends_with_each_chunk():
    for chunk in streamed(network(), [torch.rand(1, 3, 1, 8, 8, dtype=torch.float64)] * 3):
        assert chunk.is_inference()
        assert not torch.is_inference_mode_enabled()


class Memory(TorchDispatchMode):
    """Bytes of the tensors alive after every operation, weights left out; shared storages count once."""

    def __init__(self):
        super().__init__()
        self.alive, self.peak = [], 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        made = result if isinstance(result, (tuple, list)) else [result]
        self.alive += [weakref.ref(tensor) for tensor in made if isinstance(tensor, torch.Tensor)]
        self.alive = [reference for reference in self.alive if reference() is not None]
        storages = {tensor.data_ptr(): tensor.untyped_storage().nbytes() for tensor in self._tensors()}
        self.peak = max(self.peak, sum(storages.values()))
        return result

    def _tensors(self):
        return (tensor for reference in self.alive if (tensor := reference()) is not None)


def peak_memory(built, chunks):
    chunk = torch.rand(1, 3, 4, 8, 8, dtype=torch.float64)
    with Memory() as memory:
        for _ in streamed(built, (chunk.clone() for _ in range(chunks))):
            pass
    return memory.peak


@pytest.mark.parametrize("skips", [True, False])
def test_a_video_10_times_longer_takes_no_more_memory(skips):
    built = network(stages=2, skips=skips)
    short, long = peak_memory(built, 12), peak_memory(built, 120)
    assert long <= MORE_MEMORY * short
    with Memory() as memory, torch.no_grad():
        built(torch.rand(1, 3, 480, 8, 8, dtype=torch.float64))
    assert memory.peak > 5 * long  # in one pass it would


def test_nothing_is_computed_twice():
    built = network(base=4)
    video = torch.rand(1, 3, 32, 16, 16, dtype=torch.float64)
    with FlopCounterMode(display=False) as whole, torch.no_grad():
        built(video)
    with FlopCounterMode(display=False) as in_chunks:
        list(streamed(built, video.split(8, dim=2)))
    assert in_chunks.get_total_flops() <= MORE_WORK * whole.get_total_flops()
    assert in_chunks.get_total_flops() >= whole.get_total_flops()  # a counter that did not see it would say less
