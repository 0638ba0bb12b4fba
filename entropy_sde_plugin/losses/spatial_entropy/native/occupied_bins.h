// The blocks of bins that a tile has to visit. Included inside a namespace.

inline float at_least(float a, float bound) { return a > bound ? a : bound; }
inline float at_most(float a, float bound) { return a < bound ? a : bound; }

// The bin nearest to v, unrounded; 0 for NaN.
inline float nearest_bin(const Problem& problem, float v) {
    return v > 0.0f ? at_most(v, static_cast<float>(problem.levels - 1)) : 0.0f;
}

inline float reach_in_bandwidths(const Problem& problem) {
    return problem.distance == Distance::cross_entropy ? kReachCrossEntropy : kReach;
}

// A bin counts if it lies within reach of some pixel. Pixels are taken four by four, by their bounding box. Values
// outside the bins count as their nearest bin, since what is left out must be small against what is kept. The summands
// of the relative and the cross entropy vanish with the target's density, so that only its pixels matter.
class OccupiedBins {
public:
    // Groups of four bins in use along either axis: [first, last).
    int first_quad_i, last_quad_i, first_quad_j, last_quad_j;

    OccupiedBins(const Problem& problem, const Workspace& ws)
        : first_quad_i(ws.quads), last_quad_i(0), first_quad_j(ws.quads), last_quad_j(0), ws_(ws),
          top_(static_cast<float>(problem.levels - 1)), reach_(reach_in_bandwidths(problem) / problem.inverse_bandwidth),
          vanished_(problem.normalise ? -kOutside / 2 : kVanished / problem.inverse_bandwidth) {
        std::memset(ws.mask, 0, sizeof(std::uint64_t) * ws.block_rows * ws.mask_words);
        for (int x = 0; x < problem.extent; x += 4)
            for (int y = 0; y < problem.extent; y += 4) {
                const int columns = problem.extent - x < 4 ? problem.extent - x : 4, p = x * problem.extent + y;
                if (problem.distance == Distance::hellinger)
                    mark_around(bounding_box(ws.v + p, ws.v_nbr + p, columns, problem.extent));
                mark_around(bounding_box(ws.w + p, ws.w_nbr + p, columns, problem.extent));
            }
        if (problem.normalise) {  // kernels sum over all bins
            first_quad_i = first_quad_j = 0;
            last_quad_i = last_quad_j = ws.quads;
        }
    }

    bool holds(int block_row, int quad_j) const { return words(block_row)[quad_j / 64] >> (quad_j % 64) & 1; }

private:
    struct Box {
        float low_i, high_i, low_j, high_j;
    };
    typedef float Four __attribute__((vector_size(16)));

    const Workspace& ws_;
    float top_, reach_, vanished_;

    std::uint64_t* words(int block_row) const { return ws_.mask + static_cast<std::size_t>(block_row) * ws_.mask_words; }

    // Nearest bins of four pixels in each column. Empty if all lie too far outside the bins, or outside the plane.
    INLINE Box bounding_box(const float* v, const float* v_nbr, int columns, int stride) const {
        const Four zero{}, top = zero + top_, nothing = zero - kOutside;
        Four low_i = nothing, high_i = -nothing, low_j = nothing, high_j = -nothing;
        for (int x = 0; x < columns; ++x, v += stride, v_nbr += stride) {
            Four own, nbr;
            std::memcpy(&own, v, sizeof own);
            std::memcpy(&nbr, v_nbr, sizeof nbr);
            const Four i = own > zero ? (own < top ? own : top) : zero, j = nbr > zero ? (nbr < top ? nbr : top) : zero;
            const Four off_i = own > i ? own - i : i - own, off_j = nbr > j ? nbr - j : j - nbr;
            const auto counts = ~(off_i + off_j > vanished_ + zero);  // true for NaN
            low_i = counts & (i < low_i) ? i : low_i;
            high_i = counts & (i > high_i) ? i : high_i;
            low_j = counts & (j < low_j) ? j : low_j;
            high_j = counts & (j > high_j) ? j : high_j;
        }
        return {at_most(at_most(low_i[0], low_i[1]), at_most(low_i[2], low_i[3])),
                at_least(at_least(high_i[0], high_i[1]), at_least(high_i[2], high_i[3])),
                at_most(at_most(low_j[0], low_j[1]), at_most(low_j[2], low_j[3])),
                at_least(at_least(high_j[0], high_j[1]), at_least(high_j[2], high_j[3]))};
    }

    void mark_around(const Box& box) {
        if (box.low_i > box.high_i) return;
        const int first = static_cast<int>(at_least(box.low_i - reach_, 0.0f)) / kBlockI;
        const int last = static_cast<int>(at_most(box.high_i + reach_, top_)) / kBlockI;
        int first_quad = ws_.quads, last_quad = -1;
        for (int row = first; row <= last; ++row) {
            const float low = static_cast<float>(row * kBlockI), high = low + (kBlockI - 1);
            const float rest = reach_ - at_least(at_least(low - box.high_i, box.low_i - high), 0.0f);
            const float first_j = at_least(box.low_j - rest, 0.0f), last_j = at_most(box.high_j + rest, top_);
            const int below = static_cast<int>(first_j), from = below + (static_cast<float>(below) < first_j);
            const int to = static_cast<int>(last_j);
            if (rest < 0.0f || from > to) continue;
            set_bits(words(row), from / 4, to / 4);
            first_quad = from / 4 < first_quad ? from / 4 : first_quad;
            last_quad = to / 4 > last_quad ? to / 4 : last_quad;
        }
        widen(first_quad_i, last_quad_i, first * kBlockI / 4, (last * kBlockI + kBlockI - 1) / 4);
        widen(first_quad_j, last_quad_j, first_quad, last_quad);
    }

    static void set_bits(std::uint64_t* words, int first, int last) {
        for (int k = first / 64; k <= last / 64; ++k) {
            const int from = k == first / 64 ? first % 64 : 0, to = k == last / 64 ? last % 64 : 63;
            words[k] |= (~std::uint64_t{0} >> (63 - (to - from))) << from;
        }
    }

    void widen(int& first, int& last, int from, int to) const {
        first = from < first ? from : first;
        last = to >= last ? (to < ws_.quads ? to + 1 : ws_.quads) : last;
    }
};
