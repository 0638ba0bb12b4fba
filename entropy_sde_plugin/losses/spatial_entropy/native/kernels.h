// Values of the kernel K((bin - v) / h) for a tile's pixels. Included inside a namespace.

// Divides each pixel's kernel by its sum over the bins; `slopes` comes as the logarithm's derivative.
inline void normalise_kernel(const Workspace& ws, const float* v, float factor, float* values, float* slopes) {
    for (int p = 0; p < ws.pixels; ++p) {
        float mass = 0.0f, steepness = 0.0f;
        const auto each_bin = [&](auto&& visit) {
            for (int quad = 0; quad < ws.quads; ++quad)
                for (int k = 0; k < 4; ++k) visit((static_cast<std::size_t>(quad) * ws.pixels + p) * 4 + k);
        };
        each_bin([&](std::size_t at) {
            mass += values[at];
            if (slopes) steepness += values[at] * slopes[at];
        });
        const float scale = v[p] == kOutside ? 0.0f : factor / mass, mean = steepness * scale / factor;
        each_bin([&](std::size_t at) {
            values[at] *= scale;
            if (slopes) slopes[at] = values[at] * (slopes[at] - mean);
        });
    }
}

inline Vector spread_nearest(const Problem& problem, const float* v) {
    float nearest[4] = {};
    for (int k = 0; k < kBlockI; ++k) nearest[k] = nearest_bin(problem, v[k]);
    return spread(nearest);
}

// Fills `values`, and with `slopes` their derivatives by v, for quads [first, last); 0 past the last bin and, up to
// 1e-37, outside the plane. Lanes: kBlockI pixels times 4 bins.
template <bool normalise>
NOINLINE void kernel_values(const Problem& problem, const Workspace& ws, const float* v, float factor, float* values,
                            float* slopes, int first, int last) {
    const Vector one = broadcast(1.0f), inverse_h = broadcast(problem.inverse_bandwidth);
    const Vector powers = broadcast(1.44269504f * problem.inverse_bandwidth);  // exp(a / h) = 2^(a log2(e) / h)
    for (int quad = first; quad < last; ++quad) {
        alignas(64) float bins[4], valid[4];
        for (int k = 0; k < 4; ++k) {
            bins[k] = static_cast<float>(quad * 4 + k);
            valid[k] = quad * 4 + k < problem.levels ? factor : 0.0f;
        }
        const Vector bin = repeat(bins), scale = repeat(valid);
        for (int p = 0; p < ws.pixels; p += kBlockI) {
            const std::size_t at = (static_cast<std::size_t>(quad) * ws.pixels + p) * 4;
            const Vector away = bin - spread(v + p);
            const Vector e = power_of_two(negative(away) * powers), inverse = reciprocal(one + e);
            Vector value = inverse * (inverse * scale);
            if constexpr (normalise)  // outside the bins all are too small by one factor, which divides out
                value = value * power_of_two(negative(bin - spread_nearest(problem, v + p)) * powers);
            else
                value = value * e;
            store(values + at, value);
            if (slopes) {
                const Vector steep = copy_sign((one - e) * (inverse * inverse_h), away);
                store(slopes + at, normalise ? steep : value * steep);
            }
        }
    }
    if constexpr (normalise) normalise_kernel(ws, v, factor, values, slopes);
}

inline void prepare_kernels(const Problem& problem, const Workspace& ws, const OccupiedBins& bins) {
    const auto fill = problem.normalise ? kernel_values<true> : kernel_values<false>;
    const float factor = problem.prefactor * problem.density_scale;
    fill(problem, ws, ws.v, factor, ws.a, ws.a_slope, bins.first_quad_i, bins.last_quad_i);
    fill(problem, ws, ws.w, factor, ws.c, nullptr, bins.first_quad_i, bins.last_quad_i);
    fill(problem, ws, ws.v_nbr, 1.0f, ws.b, ws.b_slope, bins.first_quad_j, bins.last_quad_j);
    fill(problem, ws, ws.w_nbr, 1.0f, ws.d, nullptr, bins.first_quad_j, bins.last_quad_j);
}
