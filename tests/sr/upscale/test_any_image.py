"""load_upscaler takes numpy arrays, Pillow images and torch tensors, and gives the same kind back."""

import numpy as np
import pytest
import torch
from images import textured
from PIL import Image, ImageCms

import sr
from sr.models.box import BOX_MODELS, DEFAULT_MODEL
from sr.runtime.load import load_upscaler as load_file
from sr.upscale.any_image import ImageUpscaler

LR_IMAGE = textured(3, 13, 18)


@pytest.fixture(scope="module", params=["rgb", "luma"])
def upscale(request):
    """Give an upscaler of each color."""
    return sr.load_upscaler(BOX_MODELS[DEFAULT_MODEL].graph(request.param))


def test_arrays_keep_shape_and_type(upscale):
    hr_image = upscale(LR_IMAGE)
    assert isinstance(upscale, ImageUpscaler) and (hr_image.shape, hr_image.dtype) == ((26, 36, 3), np.uint8)
    np.testing.assert_array_equal(hr_image, upscale.upscaler(LR_IMAGE))
    batch = np.stack([LR_IMAGE, textured(4, 13, 18)])
    np.testing.assert_array_equal(upscale(batch)[0], hr_image)
    assert upscale(batch).shape == (2, 26, 36, 3)
    for gray in (LR_IMAGE[..., 0], LR_IMAGE[..., :1], batch[..., :1]):
        shape = list(gray.shape)
        at = 1 if gray.ndim == 4 else 0
        shape[at], shape[at + 1] = 26, 36
        assert list(upscale(gray).shape) == shape and upscale(gray).dtype == np.uint8
    deep = upscale(LR_IMAGE.astype(np.uint16) * 257)
    assert deep.dtype == np.uint16 and np.abs(deep / 257 - hr_image).max() <= 0.51


@pytest.mark.parametrize("kind", [np.float16, np.float32, np.float64])
def test_floats_are_0_to_1(upscale, kind):
    made = upscale((LR_IMAGE / 255).astype(kind))
    assert made.dtype == kind and made.min() >= 0 and made.max() <= 1
    difference = np.abs(made.astype(float) * 255 - upscale(LR_IMAGE)).max()
    assert difference <= (0.7 if kind is np.float16 else 0.51)
    beyond = upscale(np.array([[[-0.01, 1.01, 0.5]]], kind))
    assert beyond.min() >= 0 and beyond.max() <= 1


def test_tensors_have_channels_first_and_keep_type_and_batch(upscale):
    hr_image = upscale(LR_IMAGE)
    tensor = torch.from_numpy(LR_IMAGE).permute(2, 0, 1)
    made = upscale(tensor)
    assert made.dtype == torch.uint8 and made.is_contiguous()
    np.testing.assert_array_equal(made.permute(1, 2, 0).numpy(), hr_image)
    floats = (tensor.float() / 255)[None].repeat(2, 1, 1, 1).requires_grad_()
    made = upscale(floats)
    assert made.shape == (2, 3, 26, 36) and not made.requires_grad and made.dtype == torch.float32
    assert torch.equal(made[0], made[1])
    assert abs(made[0].permute(1, 2, 0).numpy() * 255 - hr_image).max() <= 0.51
    assert upscale(floats[:, :1].bfloat16()).dtype == torch.bfloat16
    assert upscale(floats[:, :1].half()).shape == (2, 1, 26, 36)


def test_pillow_images_keep_their_mode_and_what_they_carry(upscale):
    image = Image.fromarray(LR_IMAGE)
    image.info["icc_profile"] = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    image.info["dpi"], image.info["comment"] = (300, 300), "left behind"
    made = upscale(image)
    np.testing.assert_array_equal(np.asarray(made), upscale(LR_IMAGE))
    assert made.info == {"icc_profile": image.info["icc_profile"], "dpi": (300, 300)}
    for mode, expected in {
        "L": "L",
        "LA": "LA",
        "RGBA": "RGBA",
        "P": "RGB",
        "CMYK": "RGB",
        "1": "RGB",
    }.items():
        made = upscale(image.convert(mode))
        assert (made.mode, made.size) == (expected, (36, 26)), mode
    deep = Image.fromarray(LR_IMAGE[..., 0].astype(np.uint16) * 257)
    made = upscale(deep)
    assert made.mode == "I;16" and np.asarray(made).max() > 255


def test_hidden_colors_of_transparent_pixels_do_not_show(upscale):
    pixels = np.full((16, 16, 4), 255, np.uint8)
    pixels[:, 8:] = (0, 0, 0, 0)  # black, but invisible
    made = np.asarray(upscale(Image.fromarray(pixels))).astype(int)
    visible = made[..., 3] > 0
    white = np.full((16, 16, 3), 255, np.uint8)
    expected = upscale(white)[:, :16].astype(int)
    assert np.abs(made[:, :16, :3] - expected)[visible[:, :16]].max() <= 1


def test_a_list_may_hold_different_sizes_and_kinds(upscale):
    made = upscale([LR_IMAGE, Image.fromarray(LR_IMAGE[:6]), torch.zeros(3, 4, 4)])
    assert [type(one) for one in made] == [np.ndarray, Image.Image, torch.Tensor]
    assert [made[0].shape, made[1].size, tuple(made[2].shape)] == [(26, 36, 3), (36, 12), (3, 8, 8)]
    assert upscale([]) == []


@pytest.mark.parametrize(
    ("image", "words"),
    [
        (np.zeros((4, 4, 4), np.uint8), r"got \(4, 4, 4\)"),
        (np.zeros((0, 4, 3), np.uint8), r"got \(0, 4, 3\)"),
        (np.zeros(4, np.uint8), r"got \(4,\)"),
        (np.zeros((4, 4, 3), np.int64), "got int64"),
        (np.full((4, 4, 3), 200.0), "0 to 1, got 200 to 200"),
        (np.full((4, 4, 3), np.nan), "0 to 1, got nan"),
        (torch.zeros(4, 4, 3), r"1 or 3, height, width.*got \(4, 4, 3\)"),
        (torch.zeros(3, 4, 4, dtype=torch.int32), "got int32"),
        (Image.new("F", (4, 4)), "mode F"),
    ],
    ids=["rgba", "empty", "line", "int64", "levels", "nan", "last", "int32", "pillow-f"],
)
def test_what_is_none_of_these_is_refused_with_what_it_is(image, words):
    with pytest.raises(ValueError, match=words):
        sr.load_upscaler("bicubic")(image)


def test_large_images_go_through_in_tiles_without_a_difference():
    path = BOX_MODELS[DEFAULT_MODEL].graph()
    whole, tiled = load_file(path), sr.load_upscaler(path, tile_px=128)
    lr_image = textured(5, 40, 300)
    np.testing.assert_array_equal(tiled(lr_image), whole(lr_image))


def test_a_filter_takes_the_same():
    bicubic = sr.load_upscaler("bicubic", scale=3)
    assert bicubic(LR_IMAGE).shape == (39, 54, 3) and bicubic(LR_IMAGE[..., 0]).shape == (39, 54)
    assert bicubic(torch.zeros(1, 4, 4)).shape == (1, 12, 12) and bicubic(Image.new("LA", (4, 5))).size == (
        12,
        15,
    )
