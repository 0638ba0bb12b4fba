"""Pictures in and out, against Pillow, OpenCV and tifffile."""

import struct
import zlib
from contextlib import suppress

import cv2
import numpy as np
import PIL.Image
import PIL.ImageCms
import PIL.ImageOps
import pytest
import tifffile
from PIL.TiffImagePlugin import ImageFileDirectory_v2

from entropy_sde_plugin.data import images
from entropy_sde_plugin.demo.photographs import photograph
from entropy_sde_plugin.errors import InputError
from entropy_sde_plugin.inference.pictures.picture import Picture, fit, read_picture, write_picture
from tests.support.commands import ROOT
from tests.support.pictures import write_png_chunks

PROFILE = PIL.ImageCms.ImageCmsProfile(PIL.ImageCms.createProfile('sRGB')).tobytes()
GRAY_PROFILE = PROFILE[:16] + b'GRAY' + PROFILE[20:]
DEPTHS = {np.uint8: 255, np.uint16: 65535}
MAKE, ORIENTATION, EXIF_IFD, MAKER_NOTE, WIDTH, HEIGHT = 271, 274, 0x8769, 0x927C, 0xA002, 0xA003


def noise(shape, dtype=np.uint8, seed=0):
    return np.random.default_rng(seed).integers(0, DEPTHS[dtype] + 1, shape).astype(dtype)


def exif(orientation=1):
    """EXIF as a camera writes it: tags of the image, a maker's note, a GPS directory."""
    tags = PIL.Image.Exif()
    tags[MAKE], tags[306], tags[ORIENTATION] = 'Camera', '2024:02:03 04:05:06', orientation
    tags.get_ifd(EXIF_IFD).update({33434: 0.125, MAKER_NOTE: b'NOTE' * 9, WIDTH: 30, HEIGHT: 20})
    tags.get_ifd(0x8825).update({1: 'N', 2: (50.0, 1.0, 2.5)})
    return tags.tobytes()[6:]


def tags_of(path):
    """The tags that tell of the image, as Pillow reads them."""
    with PIL.Image.open(path) as file:
        tags = file.getexif()
        return {tag: tags.get(tag) for tag in (MAKE, 306)}, dict(tags.get_ifd(EXIF_IFD)), dict(tags.get_ifd(0x8825))


def with_opencv(path):
    """(H, W, C) in the order RGB, RGBA or gray, by OpenCV."""
    samples = np.atleast_3d(cv2.imread(str(path), cv2.IMREAD_UNCHANGED))
    return samples[..., {1: [0], 3: [2, 1, 0], 4: [2, 1, 0, 3]}[samples.shape[2]]]


def profile_of(path):
    with PIL.Image.open(path) as file:
        return file.info.get('icc_profile')


# --- out --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize('has_alpha', [False, True])
@pytest.mark.parametrize(
    ('suffix', 'dtype'),
    [('.png', np.uint8), ('.png', np.uint16), ('.tif', np.uint8), ('.tif', np.uint16), ('.webp', np.uint8)],
)
def test_lossless_formats_keep_every_sample_the_profile_and_exif(tmp_path, suffix, dtype, has_alpha):
    rgb, alpha = noise((70, 31, 3), dtype), noise((70, 31), dtype, seed=1) if has_alpha else None
    path = tmp_path / f'picture{suffix}'
    picture = Picture(rgb, alpha=alpha, icc_profile=PROFILE, exif=exif())
    assert fit(picture, suffix).notes == ()
    write_picture(picture, path)

    expected = rgb if alpha is None else np.dstack((rgb, alpha))
    if suffix == '.tif':
        np.testing.assert_array_equal(tifffile.imread(path), expected)
    if suffix != '.tif' or alpha is None:  # OpenCV premultiplies the alpha of TIFF
        np.testing.assert_array_equal(with_opencv(path), expected)
    assert profile_of(path) == PROFILE
    made, details, place = tags_of(path)
    assert made == {MAKE: 'Camera', 306: '2024:02:03 04:05:06'}
    assert (details[33434], details[MAKER_NOTE], place[1], place[2]) == (0.125, b'NOTE' * 9, 'N', (50.0, 1.0, 2.5))

    again = read_picture(path)
    np.testing.assert_array_equal(again.rgb, rgb)
    assert again.rgb.dtype == dtype
    assert again.gray is False
    assert (again.alpha is None) == (alpha is None)
    if alpha is not None:
        np.testing.assert_array_equal(again.alpha, alpha)
    assert (again.icc_profile, again.notes) == (PROFILE, ())
    assert [file.name for file in tmp_path.iterdir()] == [path.name]


def test_jpeg_has_quality_95_and_full_chroma(tmp_path):
    photo = photograph('coffee')
    write_picture(Picture(photo, icc_profile=PROFILE, exif=exif()), tmp_path / 'a.jpg')
    with PIL.Image.open(tmp_path / 'a.jpg') as file:
        assert [component[1:3] for component in file.layer] == [(1, 1)] * 3
        # IJG's rule for quality q >= 50: (entry * (200 - 2 q) + 50) / 100; Annex K.1 begins 16, 11, 10, 16, 24.
        assert list(file.quantization[0])[:3] == [(v * 10 + 50) // 100 for v in (16, 11, 10)]
    assert profile_of(tmp_path / 'a.jpg') == PROFILE
    assert tags_of(tmp_path / 'a.jpg')[1][MAKER_NOTE] == b'NOTE' * 9
    error = with_opencv(tmp_path / 'a.jpg').astype(float) - photo
    assert 10 * np.log10(255**2 / np.mean(error**2)) > 38


@pytest.mark.parametrize('dtype', DEPTHS)
@pytest.mark.parametrize('suffix', ['.png', '.tif', '.jpg'])
def test_gray_stays_one_channel_the_luma(tmp_path, suffix, dtype):
    smooth = np.multiply.outer(np.linspace(0, DEPTHS[dtype], 40), np.ones(40)).astype(dtype)
    write_picture(Picture(np.dstack([smooth] * 3), gray=True), tmp_path / f'g{suffix}')
    stored = with_opencv(tmp_path / f'g{suffix}')
    assert stored.shape == (40, 40, 1)
    if suffix != '.jpg':
        np.testing.assert_array_equal(stored[..., 0], smooth)
    assert read_picture(tmp_path / f'g{suffix}').gray

    colour = noise((9, 9, 3), dtype)
    if suffix != '.jpg':
        write_picture(Picture(colour, gray=True), tmp_path / f'g{suffix}')
        luma = colour @ np.array([0.299, 0.587, 0.114])
        assert np.abs(with_opencv(tmp_path / f'g{suffix}')[..., 0] - luma).max() < 0.0005 * DEPTHS[dtype] + 0.6


@pytest.mark.parametrize('suffix', ['.jpg', '.webp'])
def test_16_bits_are_rounded_to_the_nearest_of_8_and_that_is_reported(tmp_path, suffix):
    values = np.arange(65536, dtype=np.uint16).reshape(256, 256)
    picture = Picture(np.dstack([values] * 3))
    assert fit(picture, suffix).notes == (f'16 bits are rounded to the 8 of {suffix}',)
    write_picture(picture, tmp_path / f'a{suffix}')
    stored = with_opencv(tmp_path / f'a{suffix}').astype(float)
    tolerance = 0.5 if suffix == '.webp' else 3.5
    assert np.abs(stored - values[..., None] / 257).max() <= tolerance


def test_what_a_format_cannot_hold_is_refused_or_reported(tmp_path):
    rgb, clear = noise((8, 8, 3)), noise((8, 8))
    with pytest.raises(InputError, match=r'a\.jpg: partly transparent, which \.jpg cannot hold; write it as \.png'):
        write_picture(Picture(rgb, alpha=clear), tmp_path / 'a.jpg')
    write_picture(Picture(rgb, alpha=np.full((8, 8), 255, np.uint8)), tmp_path / 'opaque.jpg')
    with pytest.raises(InputError, match='more than 16383 pixels a side'):
        fit(Picture(np.zeros((1, 16384, 3), np.uint8)), '.webp')
    with pytest.raises(InputError, match=r"'\.pgn'\. Did you mean '\.png'"):
        write_picture(Picture(rgb), tmp_path / 'a.pgn')
    long = Picture(rgb, exif=exif() + bytes(70000))
    assert 'is too long for .jpg and left out' in fit(long, '.jpg').notes[0]
    assert fit(long, '.jpg').exif is None
    write_picture(long, tmp_path / 'long.jpg')
    write_picture(long, tmp_path / 'long.png')
    gray = Picture(rgb, gray=True, icc_profile=GRAY_PROFILE)
    assert fit(gray, '.png').icc_profile == GRAY_PROFILE
    assert fit(gray, '.webp').icc_profile is None
    assert 'does not suit the RGB of .webp' in fit(gray, '.webp').notes[0]
    assert {file.name for file in tmp_path.iterdir()} == {'opaque.jpg', 'long.jpg', 'long.png'}


# --- in ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize('orientation', range(1, 9))
@pytest.mark.parametrize('kind', ['jpg', 'png', 'webp', 'tif', 'png16', 'tif16'])
def test_exif_orientation_is_applied_once(tmp_path, kind, orientation):
    eight = noise((20, 30, 3))
    if kind == 'jpg':
        eight = cv2.resize(noise((2, 3, 3)), (30, 20), interpolation=cv2.INTER_LINEAR)
    stored = PIL.Image.fromarray(eight)
    path = tmp_path / f'a.{kind[:3] if kind != "webp" else kind}'
    block = exif(orientation)
    if kind.startswith('tif'):
        samples = eight if kind == 'tif' else eight.astype(np.uint16) * 257
        tifffile.imwrite(path, samples, photometric='rgb', extratags=[(ORIENTATION, 'H', 1, orientation)])
    elif kind == 'png16':
        sixteen = np.ascontiguousarray(eight[..., ::-1].astype(np.uint16) * 257)
        cv2.imwriteWithMetadata(str(path), sixteen, [cv2.IMAGE_METADATA_EXIF], [np.frombuffer(block, np.uint8)])
    else:
        options = {'lossless': True} if kind == 'webp' else {}
        stored.save(path, exif=b'Exif\0\0' + block, **options)
    stored.getexif()[ORIENTATION] = orientation
    if kind == 'jpg':
        stored = PIL.Image.open(path)
    upright = np.asarray(PIL.ImageOps.exif_transpose(stored))

    picture = read_picture(path)
    scale = 257 if kind.endswith('16') else 1
    np.testing.assert_array_equal(picture.rgb, upright.astype(picture.rgb.dtype) * scale)

    write_picture(picture, tmp_path / 'out.png')
    with PIL.Image.open(tmp_path / 'out.png') as file:
        assert file.getexif().get(ORIENTATION, 1) == 1
        assert file.size == upright.shape[1::-1]
        if not kind.startswith('tif'):
            sides = file.getexif().get_ifd(EXIF_IFD)
            assert (sides[WIDTH], sides[HEIGHT]) == file.size


def test_exif_is_patched_where_it_stands(tmp_path):
    block = exif(orientation=3)
    assert block[-4:] != bytes(4)
    PIL.Image.fromarray(noise((4, 4, 3))).save(tmp_path / 'a.jpg', exif=b'Exif\0\0' + block)
    kept = read_picture(tmp_path / 'a.jpg').exif
    assert kept is not None
    differing = [i for i, (old, new) in enumerate(zip(block, kept, strict=True)) if old != new]
    assert len(differing) == 1
    assert (block[differing[0]], kept[differing[0]]) == (3, 1)


def test_the_thumbnail_of_the_dark_picture_is_unlinked(tmp_path):
    entry = struct.pack('<HHIHH', ORIENTATION, 3, 1, 6, 0)
    thumbnail = struct.pack('<HHHIII', 1, 0x0201, 4, 1, 44, 0)
    block = b'II*\0' + struct.pack('<I', 8) + struct.pack('<H', 1) + entry + struct.pack('<I', 26) + thumbnail
    PIL.Image.fromarray(noise((4, 6, 3))).save(tmp_path / 'a.jpg', exif=b'Exif\0\0' + block)
    write_picture(read_picture(tmp_path / 'a.jpg'), tmp_path / 'b.jpg')
    with PIL.Image.open(tmp_path / 'a.jpg') as file:
        assert file.getexif().get_ifd(PIL.ExifTags.IFD.IFD1)
    with PIL.Image.open(tmp_path / 'b.jpg') as file:
        assert not file.getexif().get_ifd(PIL.ExifTags.IFD.IFD1)
        assert file.getexif()[ORIENTATION] == 1


@pytest.mark.parametrize('block', [b'no exif at all', b'II*\0\xff\xff\xff\xff', b'MM\0*\0\0\0\x08\xff\xff'])
def test_damaged_exif_is_reported_and_left_out(tmp_path, block):
    PIL.Image.fromarray(noise((4, 4, 3))).save(tmp_path / 'a.jpg', exif=b'Exif\0\0' + block)
    picture = read_picture(tmp_path / 'a.jpg')
    assert picture.exif is None
    assert 'EXIF is damaged' in picture.notes[0]


def test_a_tag_of_another_type_is_reported_and_left_out(tmp_path):
    tags = ImageFileDirectory_v2()
    tags.tagtype[ORIENTATION] = 1  # a byte, where EXIF has a short
    tags[ORIENTATION] = b'\6'
    PIL.Image.fromarray(noise((4, 5, 3))).save(tmp_path / 'a.tif', tiffinfo=tags)
    picture = read_picture(tmp_path / 'a.tif')
    assert 'EXIF is damaged (a tag of another type' in picture.notes[0]
    np.testing.assert_array_equal(picture.rgb, noise((4, 5, 3)))


def test_palettes_transparent_colours_and_few_bits_are_widened(tmp_path):
    colours = PIL.Image.fromarray(noise((30, 30, 3))).quantize(16)
    colours.save(tmp_path / 'palette.png')
    np.testing.assert_array_equal(read_picture(tmp_path / 'palette.png').rgb, np.asarray(colours.convert('RGB')))
    colours.save(tmp_path / 'clear.png', transparency=3)
    clear = read_picture(tmp_path / 'clear.png')
    np.testing.assert_array_equal(clear.alpha, np.where(np.asarray(colours) == 3, 0, 255))
    np.testing.assert_array_equal(clear.rgb, np.asarray(colours.convert('RGB')))

    bits = noise((30, 30)) > 127
    PIL.Image.fromarray(bits).save(tmp_path / 'bits.png')
    picture = read_picture(tmp_path / 'bits.png')
    assert picture.gray
    np.testing.assert_array_equal(picture.rgb[..., 1], bits * np.uint8(255))

    rgb = noise((30, 30, 3))
    key = tuple(int(v) for v in rgb[4, 5])
    PIL.Image.fromarray(rgb).save(tmp_path / 'key.png', transparency=key)
    keyed = read_picture(tmp_path / 'key.png')
    assert keyed.alpha is not None
    assert (keyed.alpha[4, 5], np.count_nonzero(keyed.alpha == 0)) == (0, 1)
    np.testing.assert_array_equal(keyed.rgb, rgb)


@pytest.mark.parametrize('bits', [1, 2, 4, 8, 16])
def test_a_transparent_gray_of_png_at_every_depth(tmp_path, bits):
    """PNG specification, section 11.3.1.1: the colour is given at the depth of the samples."""
    values = np.arange(32).reshape(2, 16) % 2**bits * (1 if bits < 16 else 257)
    digits = (values[..., None] >> np.arange(bits)[::-1] & 1).astype(np.uint8).reshape(2, -1)
    rows = b''.join(b'\0' + np.packbits(row).tobytes() for row in digits)
    header, colour = struct.pack('>IIBBBBB', 16, 2, bits, 0, 0, 0, 0), struct.pack('>H', values[0, 1])
    write_png_chunks(tmp_path / 'a.png', {b'IHDR': header, b'tRNS': colour, b'IDAT': zlib.compress(rows), b'IEND': b''})
    picture = read_picture(tmp_path / 'a.png')
    top = 65535 if bits == 16 else 255
    assert picture.gray
    np.testing.assert_array_equal(picture.rgb[..., 0], values * (1 if bits == 16 else top // (2**bits - 1)))
    np.testing.assert_array_equal(picture.alpha, np.where(values == values[0, 1], 0, top))
    with pytest.raises(InputError, match='partly transparent' if bits < 16 else '16-bit samples'):
        images.read(tmp_path / 'a.png')


def test_16_bit_gray_with_alpha_from_png(tmp_path):
    gray, alpha = noise((6, 5), np.uint16), noise((6, 5), np.uint16, seed=1)
    rows = b''.join(b'\0' + row.astype('>u2').tobytes() for row in np.dstack((gray, alpha)))
    chunks = {b'IHDR': struct.pack('>IIBBBBB', 5, 6, 16, 4, 0, 0, 0), b'IDAT': zlib.compress(rows), b'IEND': b''}
    write_png_chunks(tmp_path / 'a.png', chunks)
    picture = read_picture(tmp_path / 'a.png')
    assert picture.gray
    np.testing.assert_array_equal(picture.rgb, np.dstack([gray] * 3))
    np.testing.assert_array_equal(picture.alpha, alpha)
    write_picture(picture, tmp_path / 'b.png')  # as RGBA: OpenCV has no gray with alpha
    np.testing.assert_array_equal(with_opencv(tmp_path / 'b.png'), np.dstack((gray, gray, gray, alpha)))
    write_picture(picture, tmp_path / 'b.tif')
    np.testing.assert_array_equal(tifffile.imread(tmp_path / 'b.tif'), np.dstack((gray, alpha)))


@pytest.mark.parametrize(
    'options', [{}, {'byteorder': '>'}, {'tile': (16, 16)}, {'compression': 'zlib'}, {'bigtiff': True}]
)
@pytest.mark.parametrize('dtype', DEPTHS)
def test_tiff_of_other_makes(tmp_path, dtype, options):
    rgb = noise((20, 30, 3), dtype)
    tifffile.imwrite(tmp_path / 'a.tif', rgb, photometric='rgb', iccprofile=PROFILE, **options)
    picture = read_picture(tmp_path / 'a.tif')
    np.testing.assert_array_equal(picture.rgb, rgb)
    assert picture.icc_profile == PROFILE


def test_16_bit_lzw_tiff(tmp_path):
    rgb = noise((20, 30, 3), np.uint16)
    lzw = [cv2.IMWRITE_TIFF_COMPRESSION, cv2.IMWRITE_TIFF_COMPRESSION_LZW]
    assert cv2.imwrite(str(tmp_path / 'a.tif'), np.ascontiguousarray(rgb[..., ::-1]), lzw)
    np.testing.assert_array_equal(read_picture(tmp_path / 'a.tif').rgb, rgb)


def test_of_a_file_with_several_pictures_the_main_one_is_taken_and_that_is_reported(tmp_path):
    main, preview = (PIL.Image.fromarray(photograph('coffee')[:size, :size]) for size in (64, 16))
    main.save(tmp_path / 'a.jpg', format='MPO', save_all=True, append_images=[preview])
    picture = read_picture(tmp_path / 'a.jpg')
    assert picture.rgb.shape == (64, 64, 3)
    assert 'the main one of its 2 images' in picture.notes[0]


def test_10_bits_of_heic_are_spread_over_16(tmp_path):
    ramp = np.linspace(0, 65535, 64 * 96 * 3).reshape(64, 96, 3).astype(np.uint16) >> 6
    picture = read_picture(ROOT / 'tests' / 'golden' / 'images' / 'ten_bits.heic')
    assert picture.notes == ()
    np.testing.assert_array_equal(picture.rgb, np.rint(ramp * (65535 / 1023)))


def test_10_bits_of_avif_are_reported(tmp_path):
    done, data = cv2.imencode('.avif', np.full((8, 8, 3), 512, np.uint16), [cv2.IMWRITE_AVIF_DEPTH, 10])
    assert done
    (tmp_path / 'a.avif').write_bytes(data.tobytes())
    picture = read_picture(tmp_path / 'a.avif')
    assert picture.notes == ('its 10 bits a channel are read as 8',)
    assert np.abs(picture.rgb.astype(int) - 128).max() <= 1


# --- hostile files ----------------------------------------------------------------------------------------------------


def test_what_cannot_be_given_back_is_refused_in_one_line(tmp_path):
    rgb = noise((8, 8, 3))
    frames = [PIL.Image.fromarray(noise((8, 8, 3), seed=seed)) for seed in range(3)]
    PIL.Image.fromarray(noise((8, 8, 4)), 'CMYK').save(tmp_path / 'cmyk.jpg')
    frames[0].save(tmp_path / 'pages.tif', save_all=True, append_images=frames[1:])
    frames[0].save(tmp_path / 'frames.webp', save_all=True, append_images=frames[1:])
    frames[0].save(tmp_path / 'frames.png', save_all=True, append_images=frames[1:])
    tifffile.imwrite(tmp_path / 'float.tif', rgb[..., 0].astype(np.float32))
    tifffile.imwrite(tmp_path / 'floats.tif', rgb.astype(np.float32), photometric='rgb')
    tifffile.imwrite(tmp_path / 'int32.tif', noise((8, 8)).astype(np.uint32))
    tifffile.imwrite(tmp_path / 'signed.tif', noise((8, 8)).astype(np.int16))
    tifffile.imwrite(tmp_path / 'planes.tif', noise((3, 8, 8), np.uint16), photometric='rgb', planarconfig='separate')
    tifffile.imwrite(tmp_path / 'inverted.tif', noise((8, 8), np.uint16), photometric='miniswhite')
    tifffile.imwrite(tmp_path / 'mixed.tif', noise((8, 8, 4)), photometric='rgb', extrasamples=['assocalpha'])
    tifffile.imwrite(tmp_path / 'five.tif', noise((8, 8, 5)), photometric='rgb', extrasamples=['unspecified'] * 2)
    frames[0].save(tmp_path / 'gif.png', format='GIF')
    expected = {
        'cmyk.jpg': 'CMYK samples; convert it to RGB',
        'pages.tif': '3 pages or frames',
        'frames.webp': '3 pages or frames',
        'frames.png': '3 pages or frames',
        'float.tif': 'floating-point',
        'int32.tif': '32 bits',
        'signed.tif': 'signed',
        'planes.tif': 'separate planes',
        'inverted.tif': 'inverted',
        'mixed.tif': 'not plain (unassociated) alpha',
        'floats.tif': 'a TIFF that is damaged or cut off, or has floating-point samples',
        'five.tif': 'channels beside the colours',
        'gif.png': 'not a JPEG, PNG, WebP, TIFF, BMP, AVIF or HEIC image',
    }
    assert expected.keys() == {file.name for file in tmp_path.iterdir()}
    for name, words in expected.items():
        with pytest.raises(InputError) as caught:
            read_picture(tmp_path / name)
        message = str(caught.value)
        assert message.startswith(f'{tmp_path / name}: ')
        assert words in message
        assert '\n' not in message


@pytest.mark.parametrize('suffix', ['.jpg', '.png', '.webp', '.tif', '16.png', '16.tif'])
def test_cut_off_files_are_refused(tmp_path, suffix):
    dtype = np.uint16 if suffix.startswith('16') else np.uint8
    path = tmp_path / f'a{suffix}'
    write_picture(Picture(noise((64, 64, 3), dtype), exif=exif(), icc_profile=PROFILE), path)
    whole = path.read_bytes()
    read_picture(path)
    for part in (0, 1, 8, 40, 300, len(whole) // 2, len(whole) * 9 // 10):
        path.write_bytes(whole[:part])
        with pytest.raises(InputError, match=r'damaged or cut off|not a JPEG') as caught:
            read_picture(path)
        assert '\n' not in str(caught.value)


def test_damaged_bytes_never_end_in_a_traceback(tmp_path):
    random = np.random.default_rng(0)
    readable = 0
    for suffix in ('.jpg', '.png', '.webp', '.tif', '16.png', '16.tif'):
        dtype = np.uint16 if suffix.startswith('16') else np.uint8
        path = tmp_path / f'a{suffix}'
        write_picture(Picture(noise((16, 16, 3), dtype), exif=exif(), icc_profile=PROFILE), path)
        whole = np.frombuffer(path.read_bytes(), np.uint8)
        for _ in range(30):
            bad = whole.copy()
            where = random.integers(0, min(len(bad), 900), 4)
            bad[where] = random.integers(0, 256, 4)
            path.write_bytes(bad.tobytes())
            with suppress(InputError):
                write_picture(read_picture(path), tmp_path / 'b.png')
                readable += 1
    assert 10 < readable < 170


def test_things_that_are_no_pictures(tmp_path):
    (tmp_path / 'empty.png').touch()
    (tmp_path / 'text.jpg').write_text('Dear diary,\n')
    (tmp_path / 'folder.png').mkdir()
    for name in ('empty.png', 'text.jpg', 'folder.png', 'missing.png'):
        with pytest.raises(InputError, match=name):
            read_picture(tmp_path / name)


def test_a_failed_writing_leaves_what_was_there(tmp_path, monkeypatch):
    path = tmp_path / 'a.png'
    write_picture(Picture(noise((8, 8, 3))), path)
    before = path.read_bytes()

    def full(*_):
        raise OSError(28, 'No space left on device')

    monkeypatch.setattr('os.fsync', full)
    with pytest.raises(OSError, match='No space'):
        write_picture(Picture(noise((8, 8, 3), seed=1)), path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_the_same_picture_gives_the_same_bytes(tmp_path):
    picture = Picture(noise((8, 8, 3), np.uint16), icc_profile=PROFILE, exif=exif())
    for suffix in ('.png', '.tif', '.webp', '.jpg'):
        for name in 'ab':
            write_picture(picture, tmp_path / f'{name}{suffix}')
        assert (tmp_path / f'a{suffix}').read_bytes() == (tmp_path / f'b{suffix}').read_bytes()
