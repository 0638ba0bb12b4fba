// One block of bins: the densities of all windows of a tile, compared, and the gradient spread back. Included inside a
// namespace.

// The windows of a run, largest first. Sides given here are known when compiling; without, they are the problem's.
template <int... sides>
struct Windows {
    static constexpr bool fixed = true;
    static constexpr int count = sizeof...(sides);
    static constexpr int list[] = {sides...};
    static constexpr int extent = kTile + list[0] - 1, column_size = extent;

    explicit Windows(const Problem&) {}

    static bool match(const Problem& problem) {
        if (problem.window_count != count) return false;
        for (int k = 0; k < count; ++k)
            if (problem.windows[k].side != list[k]) return false;
        return true;
    }

    // visit(side, index) for each window, the side as std::integral_constant
    template <int k = 0, class Visitor>
    INLINE void each(const Visitor& visit) const {
        visit(std::integral_constant<int, list[k]>{}, std::integral_constant<int, k>{});
        if constexpr (k + 1 < count) each<k + 1>(visit);
    }
};
template <>
struct Windows<> {
    static constexpr bool fixed = false;
    static constexpr int column_size = 1;
    const Window* windows;
    const int count, extent;

    explicit Windows(const Problem& problem)
        : windows(problem.windows), count(problem.window_count), extent(problem.extent) {}

    template <class Visitor>
    INLINE void each(const Visitor& visit) const {
        visit(windows[0].side, std::integral_constant<int, 0>{});
        for (int k = 1; k < count; ++k) visit(windows[k].side, k);
    }
};

// The summand of one bin, added to `summed`, and its derivative by p, the window's sum. For equal windows the Hellinger
// distance and the relative entropy give exactly 0.
template <Distance distance>
INLINE Vector compare(const Problem& problem, Vector p, Vector q, float inverse_area, Vector& summed) {
    if constexpr (distance == Distance::hellinger) {  // (sqrt(p) - sqrt(q))^2 = p slope^2
        const Vector floor = broadcast(kDensityFloor * problem.density_scale), a = p + floor, b = q + floor;
        const Vector slope = unless_equal(a, b, broadcast(1.0f) - root_of_ratio(b, a));
        summed = multiply_add(a * slope, slope, summed);
        return slope;
    } else if constexpr (distance == Distance::relative_entropy) {
        const Vector eps = broadcast(kRelativeEntropyEps / inverse_area);
        Vector inverse_p;
        const Vector ratio = quotient(q + eps, p + eps, inverse_p);
        summed = multiply_add(q, logarithm(ratio), summed);
        return multiply_sub(ratio, broadcast(1.0f), eps * inverse_p);
    } else {
        const Vector density = multiply_add(p, broadcast(inverse_area), broadcast(kDensityFloor));
        summed = multiply_sub(q, logarithm(density), summed);
        return broadcast(0.0f) - q * (reciprocal(density) * broadcast(inverse_area));
    }
}

template <Distance distance, class Windows>
class Densities {
public:
    Densities(const Problem& problem, const Workspace& ws) : problem_(problem), ws_(ws), windows_(problem) {}

    // Adds the block's summands to the distances and leaves their derivatives in `slopes`.
    void compare_block(int block_row, int quad_j, float* slopes) const {
        sum_columns(ws_.row(ws_.a, block_row), ws_.quad(ws_.b, quad_j), ws_.sums_p);
        sum_columns(ws_.row(ws_.c, block_row), ws_.quad(ws_.d, quad_j), ws_.sums_q);
        for (int y = 0; y < kTile; ++y)
            windows_.each([&](auto side, int k) INLINE_LAMBDA {
                const int first = sums_at(k, margin(side), y);
                const float inverse_area = problem_.windows[k].inverse_area;
                Vector p[kTile], q[kTile];
                window_sums(side, Memory<kTile>{ws_.sums_p + first}, p);
                window_sums(side, Memory<kTile>{ws_.sums_q + first}, q);
                UNROLL for (int x = 0; x < kTile; ++x) {
                    const int at = ((k * kTile + y) * kTile + x) * kLanes;
                    Vector summed = load(ws_.distance + at);
                    store(slopes + at, compare<distance>(problem_, p[x], q[x], inverse_area, summed));
                    store(ws_.distance + at, summed);
                }
            });
    }

    // Weighs the slopes of one block, spreads them over the windows, and adds their products with the kernels over j to
    // the row's sums, which the first block of a row starts.
    template <bool first>
    void spread_gradient(int quad_j, const float* slopes) const {
        float* const spread = ws_.sums_p;
        for (int y = 0; y < kTile; ++y)
            windows_.each([&](auto side, int k) INLINE_LAMBDA {
                Vector values[kTile];
                UNROLL for (int x = 0; x < kTile; ++x) {
                    const int at = (k * kTile + y) * kTile + x;
                    values[x] = load(slopes + at * kLanes) * broadcast(ws_.coefficient[at]);
                }
                window_spread<false>(side, Registers{values}, Memory<kTile>{spread + sums_at(k, margin(side), y)});
            });
        const float *b = ws_.quad(ws_.b, quad_j), *b_slope = ws_.quad(ws_.b_slope, quad_j);
        for (int x = 0; x < windows_.extent; ++x) {
            Column column(ws_);
            windows_.each([&](auto side, auto k) INLINE_LAMBDA {
                if (x < margin(side) || x >= windows_.extent - margin(side)) return;
                Vector values[kTile];
                UNROLL for (int y = 0; y < kTile; ++y) values[y] = load(spread + sums_at(k, x, y));
                constexpr bool largest = std::is_same_v<decltype(k), std::integral_constant<int, 0>>;
                window_spread<!largest>(side, Registers{values}, column.terms().from(margin(side)));
            });
            UNROLL for (int y = 0; y < windows_.extent; ++y) {
                const int p = x * windows_.extent + y, at = p * kLanes;
                const Vector slope = column.terms()[y];
                add_product<first>(ws_.row_sum + at, slope, repeat(b + p * 4));
                add_product<first>(ws_.row_sum_nbr + at, slope, repeat(b_slope + p * 4));
            }
        }
    }

private:
    const Problem& problem_;
    const Workspace& ws_;
    const Windows windows_;

    // One column of the extent: in registers if its length is known.
    struct FixedColumn {
        Vector vectors[Windows::column_size];
        explicit FixedColumn(const Workspace&) {}
        Registers terms() { return {vectors}; }
    };
    struct LongColumn {
        float* vectors;
        explicit LongColumn(const Workspace& ws) : vectors(ws.column) {}
        Memory<1> terms() { return {vectors}; }
    };
    using Column = std::conditional_t<Windows::fixed, FixedColumn, LongColumn>;

    // What the largest window reaches further than one of this side.
    INLINE int margin(int side) const { return (windows_.extent - kTile + 1 - side) / 2; }
    INLINE int sums_at(int k, int x, int y) const { return ((k * windows_.extent + x) * kTile + y) * kLanes; }

    template <bool first>
    INLINE static void add_product(float* total, Vector a, Vector b) {
        if constexpr (first)
            store(total, a * b);
        else
            store(total, multiply_add(a, b, load(total)));
    }

    // Products of the kernels, summed along y for every column and window.
    INLINE void sum_columns(const float* rows, const float* quads, float* sums) const {
        for (int x = 0; x < windows_.extent; ++x) {
            Column column(ws_);
            UNROLL for (int y = 0; y < windows_.extent; ++y) {
                const int p = x * windows_.extent + y;
                column.terms().set(y, spread(rows + p * 4) * repeat(quads + p * 4));
            }
            windows_.each([&](auto side, int k) INLINE_LAMBDA {
                if (x < margin(side) || x >= windows_.extent - margin(side)) return;
                Vector result[kTile];
                window_sums(side, column.terms().from(margin(side)), result);
                UNROLL for (int y = 0; y < kTile; ++y) store(sums + sums_at(k, x, y), result[y]);
            });
        }
    }
};
