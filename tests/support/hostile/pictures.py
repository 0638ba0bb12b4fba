"""Malformed images where training, evaluation and enhancement meet them."""

from __future__ import annotations

import io
import os
import struct
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
import PIL.Image
from PIL.ExifTags import Base
from PIL.TiffImagePlugin import ImageFileDirectory_v2

from entropy_sde_plugin.inference.pictures.metadata import iptc_segment
from tests.support.commands import ROOT
from tests.support.hostile import materials
from tests.support.hostile.damage import SURE, UNSURE
from tests.support.hostile.harness import Build, Trial
from tests.support.pictures import png_chunk, png_header_alone

VICTIM = materials.NAMES[1]


def dataset_cases() -> Iterator[tuple[str, Build]]:
    """One image of a folder is malformed; a training or an evaluation meets it."""
    for suffix in materials.FORMATS:
        for name, damage in {**SURE, **UNSURE}.items():
            content = _damaged(suffix, damage)
            for verb in ('train', 'evaluate'):
                yield f'{verb}: {suffix}, {name}', _in_a_dataset(verb, suffix, content, may_pass=name in UNSURE)
    for name, suffix, content, may_pass in _whole_pictures():
        for verb in ('train', 'evaluate'):
            yield f'{verb}: {name}', _in_a_dataset(verb, suffix, content, may_pass)
    for name, make in _NO_FILES.items():
        for verb in ('train', 'evaluate'):
            yield f'{verb}: {name}', _in_a_dataset(verb, 'png', make, may_pass=False)


def enhancement_cases() -> Iterator[tuple[str, Build]]:
    """A malformed image is to be enhanced."""
    for suffix in materials.FORMATS:
        for name, damage in {**SURE, **UNSURE}.items():
            yield f'{suffix}, {name}', _to_be_enhanced(suffix, _damaged(suffix, damage), may_pass=name in UNSURE)
    for name, suffix, content, _ in _whole_pictures():
        yield name, _to_be_enhanced(suffix, content, may_pass=name.startswith(_METADATA) or name in _ENHANCED)
    for name, make in _NO_FILES.items():
        yield name, _to_be_enhanced('png', make, may_pass=False)


# --- where ------------------------------------------------------------------------------------------------------------


Content = Callable[[np.random.Generator], bytes] | Callable[[Path], None]


def _put(path: Path, content: Content, rng: np.random.Generator) -> None:
    if content in _NO_FILES.values():
        content(path)
    else:
        path.write_bytes(content(rng))


def _in_a_dataset(verb: str, suffix: str, content: Content, may_pass: bool) -> Build:
    def build(place: Path, rng: np.random.Generator) -> Trial:
        materials.write_folders(place)
        (place / 'gt' / f'{VICTIM}.png').unlink()
        _put(place / 'gt' / f'{VICTIM}.{suffix}', content, rng)
        # A folder is a subfolder without images, whatever its name: the other image of the pair has no partner.
        place_of_fault = 'lq' if content is Path.mkdir else 'gt'
        culprits = (f'{place_of_fault}/{VICTIM}.{suffix}',)
        if verb == 'evaluate':
            return Trial(('evaluate', '--result', 'lq', '--truth', 'gt', '--metrics', 'psnr'), culprits, may_pass)
        return Trial(('train', '-opt', materials.write_options(place, materials.training())), culprits, may_pass)

    return build


def _to_be_enhanced(suffix: str, content: Content, may_pass: bool) -> Build:
    def build(place: Path, rng: np.random.Generator) -> Trial:
        (place / 'model.pth').write_bytes(materials.checkpoint())
        (place / 'dark').mkdir()
        (place / 'dark' / 'sound.png').write_bytes(materials.encoded(VICTIM, 'png'))
        _put(place / 'dark' / f'hostile.{suffix}', content, rng)
        command = (
            'enhance',
            '-i',
            'dark',
            f'dark/hostile.{suffix}',
            '-o',
            'out',
            '--model',
            'model.pth',
            '--steps',
            '1',
        )
        return Trial(command, (f'dark/hostile.{suffix}',), may_pass)

    return build


# --- what -------------------------------------------------------------------------------------------------------------


def _damaged(suffix: str, damage: Callable[[bytes, np.random.Generator], bytes]) -> Content:
    return lambda rng: damage(materials.encoded(VICTIM, suffix), rng)


def _whole_pictures() -> Iterator[tuple[str, str, Content, bool]]:
    """Name, suffix, content, whether training may take it: its size is the partner's, and nothing is lost."""
    yield 'a gray PNG', 'png', lambda rng: materials.encode(_gray(), 'png'), True
    yield 'a gray JPEG', 'jpg', lambda rng: materials.encode(_gray(), 'jpg'), True
    yield 'a JPEG called PNG', 'png', lambda rng: materials.encoded(VICTIM, 'jpg'), True
    yield 'a TIFF called JPEG', 'jpg', lambda rng: materials.encoded(VICTIM, 'tif'), True
    yield 'a WebP called TIFF', 'tif', lambda rng: materials.encoded(VICTIM, 'webp'), True
    yield (
        '16-bit RGB PNG',
        'png',
        lambda rng: _by_opencv('.png', materials.picture(VICTIM).astype(np.uint16) * 257),
        False,
    )
    yield '16-bit gray PNG', 'png', lambda rng: _by_opencv('.png', _gray().astype(np.uint16) * 257), False
    yield '16-bit RGB TIFF', 'tif', lambda rng: _by_opencv('.tif', materials.picture(VICTIM).astype(np.uint16)), False
    yield (
        'floating-point TIFF',
        'tif',
        lambda rng: _by_opencv('.tif', materials.picture(VICTIM).astype(np.float32)),
        False,
    )
    yield 'CMYK JPEG', 'jpg', lambda rng: _converted('CMYK', 'JPEG'), True
    yield 'CIELAB TIFF', 'tif', lambda rng: _converted('LAB', 'TIFF'), False
    yield 'a palette', 'png', lambda rng: _converted('P', 'PNG'), True
    yield 'one bit', 'png', lambda rng: _converted('1', 'PNG'), True
    yield 'partly transparent', 'png', lambda rng: _transparent(), False
    yield 'two pages', 'tif', lambda rng: _two_frames('TIFF'), False
    yield 'an animation', 'webp', lambda rng: _two_frames('WEBP'), False
    yield 'a GIF called PNG', 'png', lambda rng: _converted('P', 'GIF'), True
    yield '1x1', 'png', lambda rng: materials.encode(materials.picture(VICTIM)[:1, :1], 'png'), False
    yield '1x1 JPEG', 'jpg', lambda rng: materials.encode(materials.picture(VICTIM)[:1, :1], 'jpg'), False
    yield (
        '20,000 wide',
        'png',
        lambda rng: materials.encode(np.tile(materials.picture(VICTIM)[:2], (1, 500, 1)), 'png'),
        False,
    )
    yield '20,000 wide WebP header', 'webp', lambda rng: _webp_header(20000), False
    yield 'a HEIC called JPEG', 'jpg', lambda rng: _golden('images/turned.heic'), False
    yield 'a HEIC cut off', 'heic', lambda rng: SURE['cut off'](_golden('images/turned.heic'), rng), False
    yield (
        'a HEIC with a content type that is no text',
        'heic',
        lambda rng: _golden('images/turned.heic').replace(b'application', b'\xf0pplication'),
        False,
    )
    yield 'a raw file', 'dng', lambda rng: _golden('raw/halide_grbg.dng'), False
    yield 'a raw file cut off', 'dng', lambda rng: _golden('raw/halide_grbg.dng')[:90000], False
    yield 'a JPEG called raw', 'nef', lambda rng: materials.encoded(VICTIM, 'jpg'), False
    yield 'a header of 100,000 x 100,000', 'png', lambda rng: png_header_alone(100000, 100000), False
    yield 'a header of 20,000 x 20,000 pixels', 'png', lambda rng: png_header_alone(20000, 20000), False
    yield 'a header of 0 x 0', 'png', lambda rng: png_header_alone(0, 0), False
    yield 'a header of 2^31 x 1', 'png', lambda rng: png_header_alone(2**31 - 1, 1), False
    yield 'a BMP of negative width', 'bmp', lambda rng: _bmp(-40, 40), False
    yield 'a BMP of 2^31 x 2^31', 'bmp', lambda rng: _bmp(2**31 - 1, 2**31 - 1), False
    yield 'EXIF that points nowhere', 'jpg', lambda rng: _with_exif(b'II*\0\xff\xff\xff\x7f'), True
    yield (
        'EXIF in a circle',
        'jpg',
        lambda rng: _with_exif(b'II*\0\x08\0\0\0' + b'\x01\0\x69\x87\x04\0\x01\0\0\0\x08\0\0\0' * 2),
        True,
    )
    yield 'random EXIF', 'jpg', lambda rng: _with_exif(rng.bytes(200)), True
    for name, packet in _packets().items():
        yield f'XMP, {name}', 'jpg', lambda rng, p=packet: _saved(_image(), 'JPEG', xmp=p), True
        yield f'XMP, {name}, of a TIFF', 'tif', lambda rng, p=packet: _tiff_with(Base.XMLPacket, p), True
    for name, records in _RECORDS.items():
        yield f'IPTC, {name}', 'jpg', lambda rng, r=records: _saved(_image(), 'JPEG', extra=iptc_segment(r)), True
        yield f'IPTC, {name}, of a TIFF', 'tif', lambda rng, r=records: _tiff_with(Base.IPTCNAA, r), True
    yield 'IPTC that ends before it does', 'jpg', lambda rng: _cut_off_iptc(), True
    yield 'XMP that unpacks to 100 MB', 'png', lambda rng: _xmp_bomb(), True
    yield (
        'orientation 77',
        'jpg',
        lambda rng: _with_exif(b'II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x4d\0\0\0\0\0\0\0'),
        True,
    )
    yield 'a text bomb', 'png', lambda rng: _text_bomb(), True
    yield (
        'a profile that is none',
        'png',
        lambda rng: materials.encode(materials.picture(VICTIM), 'png', icc_profile=rng.bytes(300)),
        True,
    )
    yield 'followed by other bytes', 'png', lambda rng: materials.encoded(VICTIM, 'png') + rng.bytes(1000), True


_METADATA = ('EXIF', 'XMP', 'IPTC', 'random EXIF')
"""Their faults are noted; the picture is sound."""

_ENHANCED = {
    'a gray PNG', 'a gray JPEG', 'a JPEG called PNG', 'a TIFF called JPEG', 'a WebP called TIFF', '16-bit RGB PNG',
    '16-bit gray PNG', '16-bit RGB TIFF', 'a palette', 'one bit', 'partly transparent', '1x1', '1x1 JPEG',
    'a HEIC called JPEG', 'a raw file', '20,000 wide', 'orientation 77', 'a text bomb', 'a profile that is none',
    'followed by other bytes',
}  # fmt: skip


_NO_FILES: dict[str, Callable[[Path], None]] = {
    'a folder': Path.mkdir,
    'a link to nothing': lambda path: path.symlink_to('nothing.png'),
    'a link to itself': lambda path: path.symlink_to(path.name),
    'a pipe': os.mkfifo,
}


def _golden(name: str) -> bytes:
    return (ROOT / 'tests' / 'golden' / name).read_bytes()


def _gray() -> np.ndarray:
    return materials.picture(VICTIM)[..., 1]


def _by_opencv(suffix: str, array: np.ndarray) -> bytes:
    done, data = cv2.imencode(suffix, array)
    assert done
    return data.tobytes()


def _image() -> PIL.Image.Image:
    return PIL.Image.fromarray(materials.picture(VICTIM))


def _saved(image: PIL.Image.Image, kind: str, **options) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def _converted(mode: str, kind: str) -> bytes:
    if mode == 'LAB':
        return _saved(PIL.Image.frombytes('LAB', (materials.SIDE,) * 2, materials.picture(VICTIM).tobytes()), kind)
    return _saved(_image().convert(mode), kind)


def _transparent() -> bytes:
    image = _image()
    image.putalpha(100)
    return _saved(image, 'PNG')


def _two_frames(kind: str) -> bytes:
    return _saved(_image(), kind, save_all=True, append_images=[_image().rotate(90)])


def _with_exif(block: bytes) -> bytes:
    return _saved(_image(), 'JPEG', exif=b'Exif\0\0' + block)


def _text_bomb() -> bytes:
    return _with_chunk(b'zTXt', b'Comment\0\0' + zlib.compress(bytes(100 << 20)))


def _xmp_bomb() -> bytes:
    return _with_chunk(b'iTXt', b'XML:com.adobe.xmp\0\1\0\0\0' + zlib.compress(bytes(100 << 20)))


def _with_chunk(kind: bytes, content: bytes) -> bytes:
    data = materials.encoded(VICTIM, 'png')
    return data[:33] + png_chunk(kind, content) + data[33:]


def _packets() -> dict[str, bytes]:
    sound = (
        '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
        '<rdf:Description xmlns:tiff="http://ns.adobe.com/tiff/1.0/" tiff:Orientation="{}"/></rdf:RDF></x:xmpmeta>'
    )
    entities = ''.join(f'<!ENTITY e{n} "{f"&e{n - 1};" * 10}">' for n in range(1, 9))
    return {
        'cut off': sound.format(1)[:120].encode(),
        'not UTF-8': b'\xff\xfe' + sound.format(1).encode('utf-16-le'),
        'orientation of 5,000 digits': sound.format('9' * 5000).encode(),
        'orientation that is no number': sound.format('upright').encode(),
        'entities that expand to gigabytes': f'<!DOCTYPE x [<!ENTITY e0 "dark">{entities}]><x>&e8;</x>'.encode(),
        'zero bytes': bytes(1000),
    }


_RECORDS = {
    'no records': b'dark night',
    'a record longer than the list': b'\x1c\x02\x78\x7f\xff' + b'dark',
    'a record of 2^31 bytes': b'\x1c\x02\x78\x80\x04\x7f\xff\xff\xff' + b'dark',
}


def _cut_off_iptc() -> bytes:
    segment = bytearray(iptc_segment(b'\x1c\x02\x78\0\x04dark'))
    struct.pack_into('>I', segment, segment.index(b'8BIM') + 8, 2**31 - 1)
    return _saved(_image(), 'JPEG', extra=bytes(segment))


def _tiff_with(tag: int, content: bytes) -> bytes:
    tags = ImageFileDirectory_v2()
    tags[tag] = content
    return _saved(_image(), 'TIFF', tiffinfo=tags)


def _webp_header(side: int) -> bytes:
    size = struct.pack('<I', side - 1)[:3]
    chunk = b'VP8X' + struct.pack('<I', 10) + bytes(4) + size + size
    return b'RIFF' + struct.pack('<I', 4 + len(chunk)) + b'WEBP' + chunk


def _bmp(width: int, height: int) -> bytes:
    data = bytearray(materials.encoded(VICTIM, 'bmp'))
    struct.pack_into('<ii', data, 18, width, height)
    return bytes(data)
