"""The Triton kernels: tables of the kernels K, the densities compared, and the gradient collected.

What programs read of a pixel are rows of tables, (pixels, L): A and B of the prediction, their derivatives with respect
to the intensity and to the neighbour mean, and A and B of the target. A window's density, an L x L matrix, is a sum of
outer products of such rows over the window's pixels; it lives in registers, block by block.

Plain float32 multiplications and additions. Tensor cores would need three TF32 products for each, and their operands
rearranged, which takes more instructions than it saves at windows of a few pixels; a single one breaks 1e-5. No atomic
operations, so that repeated calls give the same bits.
"""

from __future__ import annotations

import triton
import triton.language as tl

__all__ = ['collect_gradient', 'compare_windows', 'kernel_tables']


@triton.jit
def kernel_tables(
    values,
    table,
    slope_table,
    pixels,
    levels,
    inverse_bandwidth,
    factor,
    SLOPES: tl.constexpr,
    NORMALISE: tl.constexpr,
    PIXELS: tl.constexpr,
    BINS: tl.constexpr,
):
    """Write ``factor`` times K((i - v) / h) and its derivative with respect to v for all bins i of each pixel.

    Work: an exponential and a division for each of pixels x L elements, twice that with ``NORMALISE``. Memory: reads a
    plane, writes one table, two with ``SLOPES``.

    Args:
        values: v in level units, (pixels,).
        table: (pixels, levels), overwritten.
        slope_table: Like ``table``; with ``SLOPES``.
        pixels: Number of pixels.
        levels: L.
        inverse_bandwidth: 1 / h.
        factor: Factor of both tables.
        SLOPES: Whether to write derivatives.
        NORMALISE: Whether to divide each pixel's kernels by their sum over the bins.
        PIXELS: Pixels of a program.
        BINS: Bins that a program works on at once.
    """
    pixel = tl.program_id(0) * PIXELS + tl.arange(0, PIXELS)
    exists = pixel < pixels
    v = tl.load(values + pixel, mask=exists, other=0.0)[:, None]
    row = pixel.to(tl.int64)[:, None] * levels
    # Normalised kernels outside the bins are all too small by one factor, which divides out: it is left out at once.
    anchor = tl.where(v > 0, tl.where(v < levels - 1, v, levels - 1), 0.0) if NORMALISE else v
    scale, mean = tl.full([PIXELS, 1], factor, tl.float32), tl.zeros([PIXELS, 1], tl.float32)
    if NORMALISE:
        mass, steepness = tl.zeros([PIXELS, BINS], tl.float32), tl.zeros([PIXELS, BINS], tl.float32)
        for first in range(0, levels, BINS):
            kernel, steep = _kernel(first + tl.arange(0, BINS)[None, :], v, anchor, levels, inverse_bandwidth)
            mass += kernel
            steepness += kernel * steep
        total = tl.sum(mass, 1, keep_dims=True)
        scale, mean = factor / total, tl.sum(steepness, 1, keep_dims=True) / total
    for first in range(0, levels, BINS):
        i = first + tl.arange(0, BINS)[None, :]
        kernel, steep = _kernel(i, v, anchor, levels, inverse_bandwidth)
        kernel *= scale
        inside = exists[:, None] & (i < levels)
        tl.store(table + row + i, kernel, mask=inside)
        if SLOPES:
            tl.store(slope_table + row + i, kernel * (steep - mean), mask=inside)


@triton.jit
def _kernel(i, v, anchor, levels, inverse_bandwidth):
    """K((i - v) / h), 0 past the last bin, and its logarithm's derivative with respect to v.

    For ``anchor`` see the caller.
    """
    away = i - v
    e = tl.exp(-tl.abs(away) * inverse_bandwidth)
    inverse = 1 / (1 + e)
    kernel = tl.exp(-tl.abs(i - anchor) * inverse_bandwidth) * inverse * inverse
    steep = tl.where(away < 0, e - 1, 1 - e) * inverse * inverse_bandwidth
    return tl.where(i < levels, kernel, 0.0), steep


@triton.jit
def compare_windows(
    v,
    v_nbr,
    w,
    w_nbr,
    a,
    b,
    a_slope,
    b_slope,
    c,
    d,
    offsets,
    distances,
    parts,
    start,
    stop,
    height,
    width,
    levels,
    reach,
    floor,
    root_epsilon,
    factor,
    DISTANCE: tl.constexpr,
    AREAS: tl.constexpr,
    RINGS: tl.constexpr,
    GRADIENT: tl.constexpr,
    SWEEPS: tl.constexpr,
    ONE_BLOCK: tl.constexpr,
    CENTRES: tl.constexpr,
    SLOTS: tl.constexpr,
    ROWS: tl.constexpr,
    COLUMNS: tl.constexpr,
):
    """Compare the densities of all windows around some pixels, and differentiate their distances.

    The windows are nested: each adds the ring of pixels that the next smaller one lacks. ``offsets`` lists the pixels
    ring by ring. Densities are kept times the windows' areas, in blocks of ``ROWS`` x ``COLUMNS`` bins; blocks that no
    pixel of the largest window reaches are left out.

    Work for a centre and a bin of its blocks, n being the pixels of the largest window: 2 n multiply-adds for the
    densities, 2 n for the gradient, and a comparison for each window. In two sweeps the first and the comparisons
    twice. Memory: reads four rows of n pixels a centre, six with ``GRADIENT``, mostly from the caches; writes 1 and,
    with ``GRADIENT``, 2 n floats a centre.

    Args:
        v, v_nbr, w, w_nbr: Planes (N, H, W) in level units.
        a, b, a_slope, b_slope, c, d: Tables; see the module.
        offsets: Rows and columns from a window's centre, (2, n).
        distances: Sum over the windows of the distance at each centre, (stop - start,), overwritten.
        parts: (stop - start, 2, n), zeros; gains the gradient with respect to v and v_nbr around each centre.
        start, stop: The range of the pixels that are centres here.
        height, width: H, W.
        levels: L.
        reach: How far from a pixel bins count, in levels.
        floor: What the distance adds to densities, in the densities' unit.
        root_epsilon: Smooths the Hellinger distance's root, in the densities' unit.
        factor: Factor of the derivatives.
        DISTANCE: One of `definition.DISTANCES`.
        AREAS: What to divide each window's densities by, the smallest window first.
        RINGS: The place in ``offsets`` at which each window's ring begins, and n.
        GRADIENT: Whether to differentiate.
        SWEEPS: 2 if derivatives need the sum over several blocks first, else 1.
        ONE_BLOCK: Whether all bins are in one block.
        CENTRES: Pixels of a program.
        SLOTS: Pixels around a centre that are worked on at once.
        ROWS: Bins i of a block; one register of each lane.
        COLUMNS: Bins j of a block; one lane of the warp each.
    """
    centre = start + tl.program_id(0) * CENTRES + tl.arange(0, CENTRES)
    at = centre % (height * width)
    place = (centre - at, at // width, at % width, centre < stop, height, width)
    count: tl.constexpr = RINGS[len(AREAS)]
    if ONE_BLOCK:
        first_i, stop_i, first_j, stop_j = 0, 1, 0, 1
    else:
        first_i, stop_i = _reached_bins(v, w, place, offsets, count, reach, levels, DISTANCE, SLOTS)
        first_j, stop_j = _reached_bins(v_nbr, w_nbr, place, offsets, count, reach, levels, DISTANCE, SLOTS)
    totals = ()
    for _k in tl.static_range(len(AREAS)):
        totals += (tl.zeros([CENTRES], tl.float32),)
    for sweep in tl.static_range(SWEEPS):
        for low_i in range(first_i, stop_i, ROWS):
            for low_j in range(first_j, stop_j, COLUMNS):
                i, j = low_i + tl.arange(0, ROWS), low_j + tl.arange(0, COLUMNS)
                p, q = tl.zeros([CENTRES, ROWS, COLUMNS], tl.float32), tl.zeros([CENTRES, ROWS, COLUMNS], tl.float32)
                sums, slopes = (), ()
                for k in tl.static_range(len(AREAS)):
                    for slot in range(RINGS[k], RINGS[k + 1], SLOTS):
                        pixel, inside = _pixels(place, offsets, count, slot, RINGS[k + 1], SLOTS)
                        p += _outer(_rows(a, pixel, inside, i, levels), _rows(b, pixel, inside, j, levels))
                        q += _outer(_rows(c, pixel, inside, i, levels), _rows(d, pixel, inside, j, levels))
                    terms, slope = _compare(p, q, AREAS[k], floor, DISTANCE)
                    sums += (totals[k] + tl.sum(tl.sum(terms, 1), 1),)
                    slopes += (slope,)
                if sweep == 0:
                    totals = sums
                if GRADIENT and sweep == SWEEPS - 1:
                    # From the largest window down: the pixels of a ring belong to it and to all larger windows.
                    by_density = tl.zeros([CENTRES, ROWS, COLUMNS], tl.float32)
                    for k in tl.static_range(len(AREAS) - 1, -1, -1):
                        weight = factor * _weight(totals[k], AREAS[k], root_epsilon, DISTANCE)
                        by_density += slopes[k] * weight[:, None, None]
                        for slot in range(RINGS[k], RINGS[k + 1], SLOTS):
                            pixel, inside = _pixels(place, offsets, count, slot, RINGS[k + 1], SLOTS)
                            by_b = _over_rows(by_density, _rows(a_slope, pixel, inside, i, levels))
                            by_v = tl.sum(by_b * _rows(b, pixel, inside, j, levels), 2)
                            by_b = _over_rows(by_density, _rows(a, pixel, inside, i, levels))
                            by_v_nbr = tl.sum(by_b * _rows(b_slope, pixel, inside, j, levels), 2)
                            part = parts + (centre - start).to(tl.int64)[:, None] * (2 * count)
                            part += slot + tl.arange(0, SLOTS)[None, :]
                            if not ONE_BLOCK:
                                tl.debug_barrier()  # another thread may have stored the sum of the blocks before
                                by_v += tl.load(part, mask=inside, other=0.0)
                                by_v_nbr += tl.load(part + count, mask=inside, other=0.0)
                            tl.store(part, by_v, mask=inside)
                            tl.store(part + count, by_v_nbr, mask=inside)
    value = tl.zeros([CENTRES], tl.float32)
    for k in tl.static_range(len(AREAS)):
        value += _distance(totals[k], AREAS[k], root_epsilon, DISTANCE)
    tl.store(distances + centre - start, value, mask=centre < stop)


@triton.jit
def _pixels(place, offsets, count, slot, stop, SLOTS: tl.constexpr):
    """The pixels in some slots around each centre, and whether there is one: (CENTRES, SLOTS) both."""
    plane, y, x, exists, height, width = place
    slots = slot + tl.arange(0, SLOTS)
    y = y[:, None] + tl.load(offsets + slots, mask=slots < stop, other=0)[None, :]
    x = x[:, None] + tl.load(offsets + count + slots, mask=slots < stop, other=0)[None, :]
    inside = exists[:, None] & (slots < stop)[None, :] & (y >= 0) & (y < height) & (x >= 0) & (x < width)
    return plane[:, None] + y * width + x, inside


@triton.jit
def _rows(table, pixels, inside, bins, levels):
    """Kernels of some bins at pixels, (CENTRES, SLOTS, bins); 0 where there is no pixel or no bin."""
    at = table + pixels.to(tl.int64)[:, :, None] * levels + bins[None, None, :]
    return tl.load(at, mask=inside[:, :, None] & (bins < levels)[None, None, :], other=0.0)


@triton.jit
def _outer(a, b):
    """Sum over the slots of outer products: (CENTRES, ROWS, COLUMNS)."""
    return tl.sum(a[:, :, :, None] * b[:, :, None, :], 1)


@triton.jit
def _over_rows(by_density, a):
    """For each slot, the sum over i of products: (CENTRES, SLOTS, COLUMNS). Rows are registers: no lane waits."""
    return tl.sum(by_density[:, None] * a[:, :, :, None], 2)


@triton.jit
def _reached_bins(
    prediction, target, place, offsets, count, reach, levels, DISTANCE: tl.constexpr, SLOTS: tl.constexpr
):
    """The interval of bins within ``reach`` of a pixel of a window: its begin and its end.

    Pixels beyond the bins count as the nearest bin, where their kernels are largest. The terms of the logarithmic
    distances vanish with the target's density, so that only its pixels matter.
    """
    low, high = levels - 1.0, 0.0
    for slot in range(0, count, SLOTS):
        pixel, inside = _pixels(place, offsets, count, slot, count, SLOTS)
        low, high = _widen(low, high, target, pixel, inside, levels)
        if DISTANCE == 'hellinger':
            low, high = _widen(low, high, prediction, pixel, inside, levels)
    first = tl.maximum(tl.ceil(low - reach), 0.0)
    last = tl.minimum(tl.floor(high + reach), levels - 1.0)
    return first.to(tl.int32), last.to(tl.int32) + 1


@triton.jit
def _widen(low, high, plane, pixel, inside, levels):
    top = levels - 1.0
    points = tl.load(plane + pixel, mask=inside, other=0.0)
    points = tl.where(points > 0, tl.where(points < top, points, top), 0.0)  # not a number: 0
    low = tl.minimum(low, tl.min(tl.min(tl.where(inside, points, top), 1), 0))
    return low, tl.maximum(high, tl.max(tl.max(tl.where(inside, points, 0.0), 1), 0))


@triton.jit
def _compare(p, q, area, floor, DISTANCE: tl.constexpr):
    """The terms of the bins, and their derivatives with respect to p; densities are ``area`` times too large."""
    if DISTANCE == 'hellinger':  # (sqrt(p) - sqrt(q))^2 = p slope^2; one root, and exactly 0 for equal windows
        p, q = p + floor, q + floor
        slope = tl.where(p == q, 0.0, 1 - q * tl.rsqrt(p * q))
        terms = p * slope * slope
    elif DISTANCE == 'relative_entropy':
        above = p + floor * area
        terms, slope = q * tl.log((q + floor * area) / above), -q / above
    else:
        density = p / area + floor
        terms, slope = -q * tl.log(density), -q / (density * area)
    return terms, slope


@triton.jit
def _distance(total, area, root_epsilon, DISTANCE: tl.constexpr):
    """The distance at each centre from the sum of its terms: for the Hellinger distance s (s + epsilon)^(-1/2)."""
    mean = total / area
    if DISTANCE == 'hellinger':
        mean *= tl.rsqrt(mean + root_epsilon) * 0.70710678
    return mean


@triton.jit
def _weight(total, area, root_epsilon, DISTANCE: tl.constexpr):
    """The factor of the terms' derivatives in the distance's: the derivative of `_distance` with respect to the sum."""
    weight = tl.full(total.shape, 1 / area, tl.float32)
    if DISTANCE == 'hellinger':
        root = tl.rsqrt(total / area + root_epsilon)
        weight *= (root + root_epsilon * root * root * root) * 0.35355339
    return weight


@triton.jit
def collect_gradient(parts, offsets, gradient, start, stop, pixels, height, width, count, PIXELS: tl.constexpr):
    """Add to each pixel's derivatives what the windows around some centres have left for it: `compare_windows`.

    Work for a pixel: an addition for each pixel of the largest window and each derivative. Memory: reads ``parts``,
    reads and writes the gradient.

    Args:
        parts: (stop - start, 2, n).
        offsets: From the centre to the pixel, (2, n).
        gradient: (2, pixels), by v and v_nbr.
        start, stop: The range of the centres.
        pixels: Number of pixels of all planes.
        height, width: Size of a plane.
        count: Number of pixels of the largest window, n.
        PIXELS: Pixels of a program.
    """
    pixel = tl.program_id(0) * PIXELS + tl.arange(0, PIXELS)
    exists = pixel < pixels
    at = pixel % (height * width)
    y, x = at // width, at % width
    by_v = tl.load(gradient + pixel, mask=exists, other=0.0)
    by_v_nbr = tl.load(gradient + pixels + pixel, mask=exists, other=0.0)
    for slot in range(count):
        down, right = tl.load(offsets + slot), tl.load(offsets + count + slot)
        centre = pixel - down * width - right
        inside = (y >= down) & (y - down < height) & (x >= right) & (x - right < width)
        inside &= exists & (centre >= start) & (centre < stop)
        part = parts + (centre - start).to(tl.int64) * (2 * count) + slot
        by_v += tl.load(part, mask=inside, other=0.0)
        by_v_nbr += tl.load(part + count, mask=inside, other=0.0)
    tl.store(gradient + pixel, by_v, mask=exists)
    tl.store(gradient + pixels + pixel, by_v_nbr, mask=exists)
