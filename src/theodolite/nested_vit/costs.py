"""Formulas of `theory` applied to a configuration and an image size. No torch."""

from dataclasses import dataclass

from theodolite.nested_vit.config import NestedViTConfig
from theodolite.theory import attention, memory
from theodolite.theory.attention import Nesting, linear_flops

LARGE = 4096  # px, the paper's image
PLAIN_PATCHES = (8, 16, 128)  # px


def nesting_of(config: NestedViTConfig, height: int, width: int | None = None) -> Nesting:
    """Windows and layers of the network on an image, square unless its width is given."""
    rows, columns = attention.windows_covering(height, width or height, config.patch * config.window)
    return Nesting(
        rows * columns,
        config.window**2,
        config.region_tokens,
        config.stages,
        config.local_blocks,
        config.global_blocks,
    )


def plain_tokens(height: int, patch: int, width: int | None = None) -> int:
    """Tokens of a plain ViT on an image, square unless its width is given, padded to whole patches."""
    rows, columns = attention.windows_covering(height, width or height, patch)
    return rows * columns


def parameters(config: NestedViTConfig) -> int:
    """Number of trained parameters."""
    layers = config.stages * (config.local_blocks + config.global_blocks)
    return config.region_tokens * config.width + plain_parameters(config, config.patch, layers)


def plain_parameters(config: NestedViTConfig, patch: int, layers: int) -> int:
    """Number of trained parameters of a plain ViT of the same width and outputs."""
    d = config.width
    # weights and biases of four linear maps, and two norms
    layer = 12 * d**2 + 9 * d + 4 * d
    embedding = (config.channels * patch**2 + 1) * d
    head = 2 * d + (d + 1) * config.outputs
    return embedding + layers * layer + head


@dataclass(frozen=True)
class Costs:
    """Work (FLOPs) and memory (bytes) for a batch of images of one size.

    Attributes
    ----------
    config : NestedViTConfig
        The network.
    height : int
        Of the images, px.
    width : int or None
        Of the images, px; None for squares.
    batch : int
        How many images.
    by_windows : bool
        Whether by chunks images and maps of what is true are read when they are needed, and not held.
    """

    config: NestedViTConfig
    height: int
    width: int | None = None
    batch: int = 1
    by_windows: bool = False

    @property
    def nesting(self) -> Nesting:
        """Windows of one image, and layers."""
        return nesting_of(self.config, self.height, self.width)

    @property
    def windows(self) -> int:
        """Windows of all images."""
        return self.batch * self.nesting.windows

    @property
    def pixels(self) -> int:
        """Pixels of all images."""
        return self.batch * self.height * (self.width or self.height)

    @property
    def tokens(self) -> int:
        """Patches and region tokens."""
        return self.windows * (self.nesting.patches + self.nesting.region_tokens)

    @property
    def layers(self) -> int:
        """Layers that a patch passes through."""
        return self.config.stages * self.config.local_blocks

    @property
    def patch_values(self) -> int:
        """Numbers of a patch."""
        return self.config.channels * self.config.patch**2

    @property
    def boundaries(self) -> int:
        """Stages whose patches are read again: by the next stage, or by a dense head."""
        return self.config.stages - (self.config.target == "label")

    @property
    def forward(self) -> int:
        """FLOPs of a forward pass."""
        covering = -(-self.height // self.config.patch) * -(-(self.width or self.height) // self.config.patch)
        head = self._label_head or linear_flops(covering, self.config.width, self.config.outputs)
        return self.batch * attention.nested_flops(self.nesting, self.patch_values, self.config.width, head)

    @property
    def ordinary(self) -> int:
        """FLOPs of a forward and a backward pass by ordinary autograd."""
        patches = self.windows * self.nesting.patches
        return attention.training_flops(self.forward, linear_flops(patches, self.patch_values, self.config.width))

    @property
    def recomputed(self) -> int:
        """FLOPs of a forward and a backward pass that recomputes chunks from their pixels."""
        return self.batch * attention.recomputed_training_flops(*self._by_chunks)

    @property
    def stored(self) -> int:
        """FLOPs of a forward and a backward pass that stores what leaves each stage."""
        return self.batch * attention.stored_training_flops(*self._by_chunks)

    @property
    def _by_chunks(self) -> tuple[Nesting, int, int, int, int]:
        nest, d = self.nesting, self.config.width
        dense = 0 if self._label_head else linear_flops(nest.windows * nest.patches, d, self.config.outputs)
        return nest, self.patch_values, d, dense, self._label_head

    @property
    def _label_head(self) -> int:
        return linear_flops(1, self.config.width, self.config.outputs) if self.config.target == "label" else 0

    def flops(self, mode: str) -> int:
        """FLOPs of a forward and a backward pass by a mode's name."""
        return {"ordinary": self.ordinary, "recomputed": self.recomputed, "stored": self.stored}[mode]

    def kept(self, mode: str, chunk: int = 1) -> int:
        """Most bytes that autograd keeps for the backward pass at one moment."""
        return self._kept_ordinary if mode == "ordinary" else max(self._kept_phases(mode, min(chunk, self.windows)))

    def peak(self, mode: str, chunk: int = 1) -> int:
        """Most bytes that tensors of a training step hold at one moment; files mapped into memory not counted."""
        weights = memory.FLOAT32 * parameters(self.config)
        told = self.pixels if self.config.target == "dense" else 0
        held = mode == "ordinary" or not self.by_windows
        resident = self.config.channels * self.pixels + told if held else 0
        one_stage = memory.region_bytes(self._batched, self.config.width)
        if mode == "ordinary":
            regions, phases = 2, self._ordinary_phases
        else:
            regions, phases = 4, self._chunked_phases(mode, min(chunk, self.windows))  # gradients by them, too
        return memory.step_peak_bytes(max(phases), regions * self.config.stages * one_stage, weights, resident)

    @property
    def _ordinary_phases(self) -> tuple[int, ...]:
        """Bytes held while patches are made from pixels, and when the backward pass begins."""
        passing = 2 * self._logits(self.pixels)
        return self._start(self.windows), memory.phase_peak_bytes(
            self._kept_ordinary, self._vectors(self.tokens), passing
        )

    def _chunked_phases(self, mode: str, chosen: int) -> tuple[int, ...]:
        """Bytes held while a chunk's patches are made from pixels, within windows, in the dense head, among windows.

        Gradients of weights are added up meanwhile: those of the dense head alone where it is read by itself.
        """
        within, reading, among = self._kept_phases(mode, chosen)
        nest = self._batched
        tokens = self._vectors(chosen * (nest.patches + nest.region_tokens))
        patches = self._vectors(chosen * nest.patches)
        logits = self._logits(chosen * self._window_pixels)
        # recomputed, logits stay while both gradients by them are made; stored, only these, beside those by the patches
        passing = 3 * logits if mode == "recomputed" else 0
        known, of_head = memory.FLOAT32 * parameters(self.config), self._vectors(self.config.outputs)
        return (
            known + self._start(chosen),
            known + memory.phase_peak_bytes(within, tokens, passing, times=6),
            of_head + memory.phase_peak_bytes(reading, patches, 2 * logits, times=0),
            known + memory.phase_peak_bytes(among, self._vectors(nest.windows * nest.region_tokens)),
        )

    def _start(self, chosen: int) -> int:
        """Bytes of the pixels of some windows: as they were read, as numbers, and these divided by the brightest."""
        return (1 + 2 * memory.FLOAT32) * chosen * self.nesting.patches * self.patch_values

    def _vectors(self, tokens: int) -> int:
        return memory.FLOAT32 * tokens * self.config.width

    def _logits(self, pixels: int) -> int:
        """Bytes of the logits of pixels; none where the image is told."""
        return 0 if self.config.target == "label" else memory.FLOAT32 * pixels * self.config.num_classes

    def read(self, mode: str) -> int:
        """Numbers of pixels that one pass forth and back reads; as many bytes where a number is one."""
        stages, dense = self.config.stages, self.config.target == "dense"
        # recomputed: each stage forth, the dense head, each stage back; stored: the first stage forth and back
        times = {"ordinary": 1, "recomputed": 2 * stages + dense, "stored": 2}[mode]
        return times * self.config.channels * self.pixels

    @property
    def files(self) -> int:
        """Bytes of the files in which boundaries are stored."""
        return memory.stored_bytes(self._batched, self.config.width, self.boundaries)

    @property
    def _batched(self) -> Nesting:
        return self.nesting._replace(windows=self.windows)

    @property
    def _window_pixels(self) -> int:
        return (self.config.patch * self.config.window) ** 2

    @property
    def _kept_ordinary(self) -> int:
        nest, d, h = self._batched, self.config.width, self.config.heads
        body = memory.nested_kept_bytes(nest, self.patch_values, d, h)
        within = self._masks(self.tokens, self.config.local_blocks)
        among = self._masks(nest.windows * nest.region_tokens, self.config.global_blocks)
        read = self.windows * nest.patches if self.config.target == "dense" else nest.windows * nest.region_tokens
        pixels = self._loss(self.pixels)
        return body + self.config.stages * (within + among) + memory.reading_kept_bytes(read, d) + pixels

    def _kept_phases(self, mode: str, chosen: int) -> tuple[int, ...]:
        """Bytes kept within windows, where the dense head is read, and among windows."""
        nest, d, h = self._batched, self.config.width, self.config.heads
        tokens = chosen * (nest.patches + nest.region_tokens)
        regions = nest.windows * nest.region_tokens
        dense = self.config.target == "dense"
        reading = memory.reading_kept_bytes(chosen * nest.patches, d) + self._loss(chosen * self._window_pixels)
        # where a label is read, its region tokens stay, and so do those that enter later global blocks
        beside = memory.region_bytes(nest, d) * ((nest.stages > 1) + (not dense))
        among = nest.global_blocks * memory.layer_kept_bytes(regions, d, h) + self._masks(regions, nest.global_blocks)
        if mode == "recomputed":
            masks = nest.stages * self._masks(tokens, nest.local_blocks)
            within = memory.chunk_kept_bytes(nest, self.patch_values, d, h, chosen) + masks + beside
            return within + (reading if dense else 0), 0, among
        within = memory.stage_kept_bytes(nest, self.patch_values, d, h, chosen) + self._masks(tokens, nest.local_blocks)
        return within, reading if dense else 0, among

    def _masks(self, tokens: int, layers: int) -> int:
        return memory.masks_kept_bytes(tokens, self.config.width, layers) if self.config.dropout else 0

    def _loss(self, pixels: int) -> int:
        if self.config.target == "label":
            return 0
        return memory.pixel_loss_kept_bytes(pixels, self.config.num_classes)

    def plain(self, patch: int) -> int:
        """FLOPs of a plain ViT's forward pass on one image, with as many layers as a patch of ours passes through."""
        head = linear_flops(1, self.config.width, self.config.outputs)
        tokens = plain_tokens(self.height, patch, self.width)
        return attention.vit_flops(tokens, self.config.channels * patch**2, self.config.width, self.layers, head)
