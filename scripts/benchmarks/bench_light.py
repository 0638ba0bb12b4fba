"""The packaged model on photographs in much light and in little: well lit, and darkened through the exact sRGB curve.

    python scripts/benchmarks/bench_light.py

The middle 320x320 of the demonstration's six held-out photographs: as they are; with 0.04, 0.07 and 0.15 of the light;
and so with a camera's noise (full well 1500 electrons, read noise 3). PSNR in dB / SSIM / LPIPS (alex) against the
photographs, and by how much the mean luminance differs from theirs, in units of full scale.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from statistics import fmean

import numpy as np
from basicsr.metrics import calculate_psnr, calculate_ssim

from entropy_sde_plugin import register

register()

from entropy_sde_plugin.data.augmentation import middle  # noqa: E402
from entropy_sde_plugin.data.images import RGBImage  # noqa: E402
from entropy_sde_plugin.data.synthesis import darken  # noqa: E402
from entropy_sde_plugin.demo.photographs import HELD_OUT, photograph  # noqa: E402
from entropy_sde_plugin.inference.enhancer import Enhancer  # noqa: E402
from entropy_sde_plugin.metrics import calculate_lpips  # noqa: E402
from entropy_sde_plugin.utils.luma import LUMA_WEIGHTS  # noqa: E402
from entropy_sde_plugin.utils.resources import packaged_model  # noqa: E402

SIDE = 320
EXPOSURES = (0.04, 0.07, 0.15)
NO_NOISE = {'full_well': 1e9, 'read_noise': 0.0}

Light = Callable[[RGBImage], list[RGBImage]]
"""A photograph -> what the model gets."""


def main() -> None:
    """Print a row for each light."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--model', type=Path, default=packaged_model(), help="weights [the package's]")
    enhancer = Enhancer.from_file(parser.parse_args().model, brightness='auto')
    print('| light | PSNR / SSIM / LPIPS | mean | mean, absolute |')
    print('|---|---|---|---|')
    for name, light in LIGHTS.items():
        scores, differences = [], []
        for truth in (middle(photograph(name), SIDE) for name in HELD_OUT):
            for image in light(truth):
                result = enhancer.enhance(image)
                pair = result[..., ::-1], truth[..., ::-1]
                scores.append(
                    [metric(*pair, crop_border=0) for metric in (calculate_psnr, calculate_ssim, calculate_lpips)]
                )
                differences.append(luminance(result) - luminance(truth))
        psnr, ssim, lpips = map(fmean, zip(*scores, strict=True))
        absolute = fmean(map(abs, differences))
        print(
            f'| {name} | {psnr:.2f} / {ssim:.3f} / {lpips:.3f} | {fmean(differences):+.3f} | {absolute:.3f} |',
            flush=True,
        )


def darkened(**camera: float) -> Light:
    """Return what takes a photograph again with little light, once for each exposure."""

    def light(truth: RGBImage) -> list[RGBImage]:
        rng = np.random.default_rng(0)
        return [darken(truth, exposure=exposure, rng=rng, tone_gamma=None, **camera) for exposure in EXPOSURES]

    return light


LIGHTS: dict[str, Light] = {
    'well lit': lambda truth: [truth],
    'dark, no noise': darkened(**NO_NOISE),
    'dark, noise': darkened(),
}


def luminance(image: RGBImage) -> float:
    """Return the mean luminance of an image, 0…1."""
    return float((image @ np.array(LUMA_WEIGHTS)).mean() / 255)


if __name__ == '__main__':
    main()
