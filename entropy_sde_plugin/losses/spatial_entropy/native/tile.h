// One row of tiles. Included inside a namespace, once per instruction set.

template <Distance distance, class Windows>
class TileRow {
public:
    TileRow(const Problem& problem, char* memory) : problem_(problem), ws_(problem, memory), densities_(problem, ws_) {}

    void run(const Plane& plane, std::int64_t row, Strip& strip) {
        for (std::int64_t x = 0; x < problem_.width; x += kTile) {
            gather(plane, row * kTile, x, strip);
            const OccupiedBins bins(problem_, ws_);
            prepare_kernels(problem_, ws_, bins);
            if (problem_.separable_windows) {
                separable_window(problem_, ws_, bins);
                for (int pixel = 0; pixel < kTilePixels; ++pixel)
                    if (in_plane(pixel / kTile, pixel % kTile))
                        strip.distance += problem_.separable_windows * ws_.own_distance[pixel * 4];
            }
            if (problem_.need_gradient) {
                clear(ws_.grad, ws_.pixels * kLanes);
                clear(ws_.grad_nbr, ws_.pixels * kLanes);
            }
            if (problem_.window_count) {
                clear(ws_.distance, problem_.window_count * kTilePixels * kLanes);
                strip.distance += sum_over_bins(bins);
            }
            if (problem_.need_gradient) add_gradient(strip);
        }
    }

private:
    const Problem& problem_;
    const Workspace ws_;
    const Densities<distance, Windows> densities_;
    std::int64_t top_ = 0, left_ = 0;  // of the tile in the plane
    int first_x_ = 0, last_x_ = 0, first_y_ = 0, last_y_ = 0;  // the part of the extent inside the plane: [first, last)

    static void clear(float* values, int count) { std::memset(values, 0, sizeof(float) * count); }

    void gather(const Plane& plane, std::int64_t top, std::int64_t left, Strip& strip) {
        const int extent = problem_.extent, reach = problem_.reach();
        const auto inside = [extent](std::int64_t a) { return static_cast<int>(a < 0 ? 0 : a > extent ? extent : a); };
        top_ = top;
        left_ = left;
        first_x_ = inside(reach - left);
        last_x_ = inside(problem_.width - left + reach);
        first_y_ = inside(reach - top);
        last_y_ = inside(problem_.height - top + reach);
        for (float* piece : {ws_.v, ws_.v_nbr, ws_.w, ws_.w_nbr}) std::fill_n(piece, ws_.pixels, kOutside);
        for (int y = first_y_; y < last_y_; ++y) {
            const std::int64_t line = (top + y - reach) * problem_.width + left - reach;
            for (int x = first_x_; x < last_x_; ++x) {
                const int p = x * extent + y;
                ws_.v[p] = plane.v[line + x];
                ws_.v_nbr[p] = plane.v_nbr[line + x];
                ws_.w[p] = plane.w[line + x];
                ws_.w_nbr[p] = plane.w_nbr[line + x];
                // Logarithms by bits do not see NaN.
                if (std::isnan(ws_.v[p] + ws_.v_nbr[p] + ws_.w[p] + ws_.w_nbr[p])) strip.distance = NAN;
            }
        }
    }

    // Whether a pixel of the tile lies in the plane.
    bool in_plane(int x, int y) const { return top_ + y < problem_.height && left_ + x < problem_.width; }

    // Returns the tile's sum of distances over all windows but the separable ones. The root of the Hellinger distance
    // stands outside the sum over the bins: its slope is known only after a first sweep. What that could not keep is
    // computed again.
    double sum_over_bins(const OccupiedBins& bins) const {
        if (distance != Distance::hellinger) {
            constant_coefficients();
            sweep(bins, true, problem_.need_gradient);
            return collect_distances();
        }
        sweep(bins, true, false);
        const double total = collect_distances();
        if (problem_.need_gradient) sweep(bins, false, true);
        return total;
    }

    void sweep(const OccupiedBins& bins, bool compare, bool spread) const {
        std::size_t block = 0;
        for (int i = 0; i < ws_.block_rows; ++i) {
            bool first = true;
            for (int j = bins.first_quad_j; j < bins.last_quad_j; ++j) {
                if (!bins.holds(i, j)) continue;
                const bool kept = block < ws_.slope_slots;
                float* slopes = slope_slot(block++);
                if (compare || !kept) densities_.compare_block(i, j, slopes);
                if (!spread) continue;
                if (first)
                    densities_.template spread_gradient<true>(j, slopes);
                else
                    densities_.template spread_gradient<false>(j, slopes);
                first = false;
            }
            if (!first) finish_row(i);
        }
    }

    float* slope_slot(std::size_t block) const {
        return ws_.slopes + std::min(block, ws_.slope_slots) * problem_.window_count * kTilePixels * kLanes;
    }

    int entries() const { return problem_.window_count * kTilePixels; }
    bool counts(int entry) const { return in_plane(entry % kTile, entry / kTile % kTile); }

    void constant_coefficients() const {
        for (int at = 0; at < entries(); ++at) {
            const double factor = problem_.scale * problem_.windows[at / kTilePixels].inverse_area;
            ws_.coefficient[at] = counts(at) ? static_cast<float>(factor) : 0.0f;
        }
    }

    double collect_distances() const {
        for (int at = 0; at < entries(); ++at) ws_.distance[at] = sum(load(ws_.distance + at * kLanes));
        for (int at = 0; at < entries(); at += kLanes) {
            const float factor = problem_.windows[at / kTilePixels].inverse_area / problem_.density_scale;
            Vector value = load(ws_.distance + at) * broadcast(factor), slope;
            if constexpr (distance == Distance::hellinger) {
                value = hellinger_root(problem_, value, slope);
                store(ws_.coefficient + at, slope * broadcast(factor * static_cast<float>(problem_.scale)));
            }
            store(ws_.distance + at, value);
        }
        double total = 0.0;
        for (int at = 0; at < entries(); ++at)
            if (counts(at))
                total += ws_.distance[at];
            else
                ws_.coefficient[at] = 0.0f;
        return total;
    }

    // Multiplies a row's sums over j by the kernels over i.
    void finish_row(int block_row) const {
        const float *a = ws_.row(ws_.a, block_row), *a_slope = ws_.row(ws_.a_slope, block_row);
        for (int p = 0; p < problem_.extent * problem_.extent; ++p) {
            const int at = p * kLanes;
            store(ws_.grad + at, multiply_add(load(ws_.row_sum + at), spread(a_slope + p * 4), load(ws_.grad + at)));
            store(ws_.grad_nbr + at, multiply_add(load(ws_.row_sum_nbr + at), spread(a + p * 4), load(ws_.grad_nbr + at)));
        }
    }

    void add_gradient(Strip& strip) const {
        const int extent = problem_.extent, reach = problem_.reach();
        for (int y = first_y_; y < last_y_; ++y) {
            const std::int64_t line = (top_ + y - reach - strip.first_row) * problem_.width + left_ - reach;
            for (int x = first_x_; x < last_x_; ++x) {
                const int at = (x * extent + y) * kLanes;
                strip.grad_v[line + x] += sum(load(ws_.grad + at));
                strip.grad_v_nbr[line + x] += sum(load(ws_.grad_nbr + at));
            }
        }
        if (!problem_.separable_windows) return;
        for (int pixel = 0; pixel < kTilePixels; ++pixel) {
            const int x = pixel / kTile, y = pixel % kTile;
            if (!in_plane(x, y)) continue;
            const std::int64_t at = (top_ + y - strip.first_row) * problem_.width + left_ + x;
            strip.grad_v[at] += ws_.own_grad[pixel * 4];
            strip.grad_v_nbr[at] += ws_.own_grad_nbr[pixel * 4];
        }
    }
};

// --- entry points ------------------------------------------------------------------------------------------------

inline std::size_t workspace_size(const Problem& problem) {
    std::size_t size = 0;
    Workspace(problem, nullptr, &size);
    return size;
}

template <Distance distance, class Windows>
void run_windows(const Problem& problem, const Plane& plane, std::int64_t row, Strip& strip, char* memory) {
    TileRow<distance, Windows>(problem, memory).run(plane, row, strip);
}

// The published windows, 1-3-5 (1 apart for the Hellinger distance) and 11, have code of their own.
template <Distance distance>
void run_distance(const Problem& problem, const Plane& plane, std::int64_t row, Strip& strip, char* memory) {
    if constexpr (distance == Distance::hellinger)
        if (Windows<5, 3>::match(problem)) return run_windows<distance, Windows<5, 3>>(problem, plane, row, strip, memory);
    if constexpr (distance == Distance::relative_entropy)
        if (Windows<5, 3, 1>::match(problem))
            return run_windows<distance, Windows<5, 3, 1>>(problem, plane, row, strip, memory);
    if constexpr (distance != Distance::cross_entropy)
        if (Windows<11>::match(problem)) return run_windows<distance, Windows<11>>(problem, plane, row, strip, memory);
    run_windows<distance, Windows<>>(problem, plane, row, strip, memory);
}

inline void run_strip(const Problem& problem, const Plane& plane, std::int64_t row, Strip& strip, char* memory) {
    switch (problem.distance) {
        case Distance::hellinger: return run_distance<Distance::hellinger>(problem, plane, row, strip, memory);
        case Distance::relative_entropy:
            return run_distance<Distance::relative_entropy>(problem, plane, row, strip, memory);
        case Distance::cross_entropy: return run_distance<Distance::cross_entropy>(problem, plane, row, strip, memory);
    }
}
