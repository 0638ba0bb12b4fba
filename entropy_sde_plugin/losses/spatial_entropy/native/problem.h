// What one call computes, as the tile kernels see it. Formulas: ../definition.py.
#pragma once

#include <cstddef>
#include <cstdint>

namespace spatial_entropy {

// Side of the square of pixels that is worked on at once. Eight rows of sums fit the vector registers, and so small a
// tile of a photograph touches few bins.
constexpr int kTile = 8;

enum class Distance { hellinger = 0, relative_entropy = 1, cross_entropy = 2 };

constexpr float kDensityFloor = 1e-30f;
constexpr float kRelativeEntropyEps = 1e-10f;

// Bins count while |i - v| / h + |j - v_nbr| / h stays below this for some pixel of a tile: there the kernels' product
// has fallen to exp(-16) = 1e-7.
constexpr float kReach = 16.0f;

// The same for the cross entropy, whose summands -q ln p grow as q vanishes: what 16 leaves out is up to 2e-5.
constexpr float kReachCrossEntropy = 20.0f;

// Intensities further than this (in bandwidths) outside the bins leave densities below exp(-40) everywhere: no bins.
constexpr float kVanished = 40.0f;

// One window of the mean, ready for the sums over a tile.
struct Window {
    int side;       // as summed: no longer than needed to cover the plane from everywhere
    float inverse_area;  // 1 / (the asked side)^2
};

struct Problem {
    std::int64_t height, width;
    int levels;
    float inverse_bandwidth, prefactor;
    bool normalise, need_gradient;
    Distance distance;
    // Densities are computed times this, so that products of two are normal numbers; 1 but for the Hellinger distance.
    float density_scale;
    float root_epsilon;
    double scale;  // 1 / (pixels of a plane * windows)
    int separable_windows;  // 1 x 1 windows of the Hellinger distance: computed in O(L), apart from the others
    const Window* windows;  // the others, largest side first
    int window_count;
    int extent;  // kTile + largest side - 1: side of the square of pixels that a tile's windows cover

    int reach() const { return (extent - kTile) / 2; }
};

// One plane of prediction and target, (height, width) each, contiguous.
struct Plane {
    const float *v, *v_nbr, *w, *w_nbr;
};

// What a row of tiles adds up. Gradients cover rows [row * kTile - reach, row * kTile + kTile + reach) of the plane,
// clipped to it; row `first_row` of the plane is row 0 of the buffers.
struct Strip {
    double distance;
    float *grad_v, *grad_v_nbr;  // null without gradient
    std::int64_t first_row;
};

}  // namespace spatial_entropy
