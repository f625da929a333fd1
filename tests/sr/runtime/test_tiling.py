"""Tiles cover every pixel once and leave no trace in the result."""

import numpy as np
import pytest
import torch
from images import textured

from sr.imaging.resize import imresize
from sr.models.metadata import HALO_PX
from sr.models.receptive_field import halo_px, receptive_field_px
from sr.runtime.load import load_upscaler
from sr.runtime.tiling import split_axis, upscale_in_bands, upscale_tiled


@pytest.mark.parametrize("size", [1, 99, 100, 101, 163, 164, 165, 1000])
@pytest.mark.parametrize("multiple", [1, 2])
def test_every_pixel_is_kept_once_and_a_halo_away_from_inner_ends(size, multiple):
    size *= multiple
    kept, lengths = [], set()
    for span in split_axis(size, 100, 18, multiple):
        kept += range(span.keep_start, span.keep_stop)
        lengths.add(span.stop - span.start)
        assert span.start % multiple == span.stop % multiple == 0
        assert span.start == 0 or span.keep_start - span.start >= 18
        assert span.stop == size or span.stop - span.keep_stop >= 18
    assert kept == list(range(size))
    assert len(lengths) == 1 and lengths.pop() <= 100


def test_tiles_are_no_longer_than_their_number_needs():
    tiles = list(split_axis(1400, 1024, 32))
    assert [(one.start, one.stop) for one in tiles] == [(0, 732), (668, 1400)]


def test_a_filter_smaller_than_the_halo_gives_the_same_image_in_tiles():
    lr_image = textured(2, 61, 83)

    def upscale(tile):
        return imresize(tile, 3 * tile.shape[0], 3 * tile.shape[1])

    np.testing.assert_array_equal(upscale_tiled(upscale, lr_image, 3, 20, 4), upscale(lr_image))


def test_a_tile_that_is_all_halo_is_refused():
    for halo in (4, 5, -1):
        with pytest.raises(ValueError, match=f"got 8 px with a halo of {halo}"):
            list(upscale_in_bands(lambda tile: tile, textured(1, 20, 20), 1, 8, halo))


@pytest.mark.parametrize("model", ["realtime_dir", "vapsr_dir", "realtime_onnx", "fp32"])
def test_a_networks_result_does_not_depend_on_the_tile_size(model, request):
    is_ir = model == "fp32"
    path = request.getfixturevalue("realtime_irs")[model] if is_ir else request.getfixturevalue(model)
    lr_image = textured(3, 150, 201)  # odd sizes: the realtime network works on cells of two pixels
    whole = load_upscaler(path)(lr_image).astype(int)
    seen = []
    for tile_px in (128, 139):
        upscaler = load_upscaler(path, tile_px=tile_px)
        run = upscaler.run
        upscaler.run = lambda batch, run=run: (seen.append(max(batch.shape)), run(batch))[1]
        assert np.abs(upscaler(lr_image) - whole).max() <= 1
    assert len(seen) >= 2 * 2 * 2 and max(seen) <= 139  # the number depends on the halo


def test_the_pretrained_network_in_tiles(shared):
    path = shared / "weights" / "vapsr3x3_x2.pth"
    lr_image = textured(4, 130, 150) // 2 + 60
    whole = load_upscaler(path)(lr_image).astype(int)
    assert np.abs(load_upscaler(path, tile_px=4 * HALO_PX)(lr_image) - whole).max() <= 1


@pytest.mark.parametrize("model", ["realtime_dir", "vapsr_dir"])
def test_the_halo_is_the_receptive_field(model, request):
    core = load_upscaler(request.getfixturevalue(model)).network.core
    lr_image = torch.rand((1, 3, 100, 100), generator=torch.Generator().manual_seed(5)).requires_grad_()
    core(lr_image)[0, :, 100, 100].sum().backward()
    seen = lr_image.grad[0].abs().sum(0).nonzero()
    farthest = int((seen - 50).abs().max())
    # A cell has two pixels, one of them nearer. Parallel branches are added up, so the field is never too small.
    assert farthest - 1 <= receptive_field_px(core) <= farthest + 2
    assert halo_px(core) == min(receptive_field_px(core), HALO_PX)


def test_exported_files_carry_the_halo(realtime_dir, realtime_irs):
    network, ir = load_upscaler(realtime_dir), load_upscaler(realtime_irs["fp32"])
    assert ir.halo_px == network.halo_px == 6  # three layers of 3x3 on cells of two
