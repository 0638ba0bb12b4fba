// The 1 x 1 window of the Hellinger distance: its density is a product, so its bin sum takes O(L). Included inside a
// namespace.

// The Hellinger distance of a bin sum S, and its derivative by S.
INLINE Vector hellinger_root(const Problem& problem, Vector bin_sum, Vector& slope) {
    const Vector epsilon = broadcast(problem.root_epsilon), half = broadcast(0.5f);
    Vector half_inverse;
    square_root(bin_sum + epsilon, half_inverse);
    slope = multiply_add(bin_sum, half, epsilon) * half_inverse * half_inverse * (half_inverse * broadcast(5.65685425f));
    return bin_sum * half_inverse * broadcast(1.41421356f);
}

// For one axis, with f = sqrt(kernel) of the prediction, g of the target, f' the derivative of f. Lanes: kBlockI pixels,
// four times each.
struct AxisSums {
    Vector own;          // |f|^2
    Vector other;        // |g|^2
    Vector apart;        // |f - g|^2
    Vector cross;        // <f - g, g>
    Vector slope_apart;  // <f - g, f'>
    Vector slope_cross;  // <g, f'>

    Vector toward() const { return cross + apart; }  // <f - g, f>
};

// Sums over quads [first, last) for the pixels from p on.
INLINE AxisSums axis_sums(const Workspace& ws, const float* own, const float* slope, const float* other, int p,
                          int first, int last) {
    const Vector floor = broadcast(kDensityFloor), zero = broadcast(0.0f);
    AxisSums sums{zero, zero, zero, zero, zero, zero};
    for (int quad = first; quad < last; ++quad) {
        const std::size_t at = (static_cast<std::size_t>(quad) * ws.pixels + p) * 4;
        Vector half_inverse, unused;
        const Vector f = square_root(load_any(own + at) + floor, half_inverse);
        const Vector g = square_root(load_any(other + at) + floor, unused);
        const Vector apart = f - g, derivative = load_any(slope + at) * half_inverse;
        sums.own = multiply_add(f, f, sums.own);
        sums.other = multiply_add(g, g, sums.other);
        sums.apart = multiply_add(apart, apart, sums.apart);
        sums.cross = multiply_add(apart, g, sums.cross);
        sums.slope_apart = multiply_add(apart, derivative, sums.slope_apart);
        sums.slope_cross = multiply_add(g, derivative, sums.slope_cross);
    }
    return {sums_of_four(sums.own),   sums_of_four(sums.other),       sums_of_four(sums.apart),
            sums_of_four(sums.cross), sums_of_four(sums.slope_apart), sums_of_four(sums.slope_cross)};
}

// Leaves distances and gradient of the tile's pixels in the workspace. With f~, g~ for the other axis,
// S = sum over i, j of (f_i f~_j - g_i g~_j)^2 = |f - g|^2 |f~|^2 + |g|^2 |f~ - g~|^2 + 2 <f - g, g> <f~ - g~, f~>,
// where nothing cancels.
NOINLINE inline void separable_window(const Problem& problem, const Workspace& ws, const OccupiedBins& bins) {
    const Vector unscale = broadcast(1.0f / problem.density_scale), two = broadcast(2.0f);
    const Vector factor = broadcast(2.0f * static_cast<float>(problem.scale) * problem.separable_windows) * unscale;
    for (int pixel = 0; pixel < kTilePixels; pixel += kBlockI) {
        const int x = problem.reach() + pixel / kTile, y = problem.reach() + pixel % kTile;
        const int p = x * problem.extent + y;
        const AxisSums s = axis_sums(ws, ws.a, ws.a_slope, ws.c, p, bins.first_quad_i, bins.last_quad_i);
        const AxisSums n = axis_sums(ws, ws.b, ws.b_slope, ws.d, p, bins.first_quad_j, bins.last_quad_j);
        const Vector bin_sum = s.apart * n.own + s.other * n.apart + two * s.cross * n.toward();
        Vector slope;
        store(ws.own_distance + pixel * 4, hellinger_root(problem, bin_sum * unscale, slope));
        slope = slope * factor;
        store(ws.own_grad + pixel * 4, slope * (s.slope_apart * n.own + s.slope_cross * n.toward()));
        store(ws.own_grad_nbr + pixel * 4, slope * (n.slope_apart * s.own + n.slope_cross * s.toward()));
    }
}
