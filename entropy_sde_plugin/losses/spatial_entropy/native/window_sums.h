// Sums over all windows that start in eight neighbouring places, and their transpose. Included inside a namespace.
//
// No running differences: they would cancel. Overlapping pairs and quadruples are written alike wherever they occur, so
// that the compiler computes each once. Sides below kTile are known when compiling; longer ones may be.

// Where terms stand or results go: in registers, or in memory `stride` vectors apart.
struct Registers {
    Vector* first;
    Vector operator[](int k) const { return first[k]; }
    void set(int k, Vector a) const { first[k] = a; }
    void add(int k, Vector a) const { first[k] = first[k] + a; }
    Registers from(int k) const { return {first + k}; }
};
template <int stride>
struct Memory {
    float* first;
    float* at(int k) const { return first + static_cast<std::ptrdiff_t>(k) * stride * kLanes; }
    Vector operator[](int k) const { return load(at(k)); }
    void set(int k, Vector a) const { store(at(k), a); }
    void add(int k, Vector a) const { store(at(k), load(at(k)) + a); }
    Memory from(int k) const { return {at(k)}; }
};

// terms[first] + ... + terms[last]
template <int first, int last, class Terms>
INLINE Vector total(Terms terms) {
    if constexpr (first == last)
        return terms[first];
    else if constexpr (first % 2 != 0)
        return terms[first] + total<first + 1, last>(terms);
    else if constexpr (last % 2 == 0)
        return total<first, last - 1>(terms) + terms[last];
    else if constexpr (last == first + 1)
        return terms[first] + terms[last];
    else
        return total<first, first + 1>(terms) + total<first + 2, last>(terms);
}

template <int side, int place, class Terms>
INLINE void short_sums(Terms terms, Vector* sums) {
    sums[place] = total<place, place + side - 1>(terms);
    if constexpr (place + 1 < kTile) short_sums<side, place + 1>(terms, sums);
}

// For side >= kTile: all eight windows share their middle.
template <class Terms>
INLINE void long_sums(int side, Terms terms, Vector* sums) {
    Vector left = terms[kTile - 1];
    for (int k = kTile; k < side; ++k) left = left + terms[k];
    sums[kTile - 1] = left;
    UNROLL for (int k = kTile - 2; k >= 0; --k) sums[k] = left = terms[k] + left;
    Vector right = terms[side];
    sums[1] = sums[1] + right;
    UNROLL for (int k = 2; k < kTile; ++k) {
        right = right + terms[side + k - 1];
        sums[k] = sums[k] + right;
    }
}

// sums[k] = terms[k] + ... + terms[k + side - 1] for k = 0 ... 7
template <int side, class Terms>
INLINE void window_sums(std::integral_constant<int, side>, Terms terms, Vector* sums) {
    if constexpr (side < kTile)
        short_sums<side, 0>(terms, sums);
    else
        long_sums(side, terms, sums);
}
template <class Terms>
NOINLINE void window_sums(int side, Terms terms, Vector* sums) {
    switch (side) {
        case 1: return short_sums<1, 0>(terms, sums);
        case 3: return short_sums<3, 0>(terms, sums);
        case 5: return short_sums<5, 0>(terms, sums);
        case 7: return short_sums<7, 0>(terms, sums);
        default: return long_sums(side, terms, sums);
    }
}

template <bool add, class Output>
INLINE void put(Output output, int place, Vector a) {
    if constexpr (add)
        output.add(place, a);
    else
        output.set(place, a);
}

template <int side, bool add, int place, class Output>
INLINE void short_spread(Registers values, Output output) {
    constexpr int first = place < side ? 0 : place - side + 1, last = place < kTile ? place : kTile - 1;
    put<add>(output, place, total<first, last>(values));
    if constexpr (place + 1 < kTile + side - 1) short_spread<side, add, place + 1>(values, output);
}

template <bool add, class Output>
INLINE void long_spread(int side, Registers values, Output output) {
    Vector left = values[0];
    put<add>(output, 0, left);
    UNROLL for (int k = 1; k < kTile; ++k) put<add>(output, k, left = left + values[k]);
    for (int k = kTile; k < side; ++k) put<add>(output, k, left);
    Vector right = values[kTile - 1];
    put<add>(output, side + kTile - 2, right);
    UNROLL for (int k = kTile - 2; k > 0; --k) put<add>(output, side + k - 1, right = values[k] + right);
}

// The transpose: place k = 0 ... side + 6 gets the sum of all values[m] whose window, [m, m + side), holds it.
template <bool add, int side, class Output>
INLINE void window_spread(std::integral_constant<int, side>, Registers values, Output output) {
    if constexpr (side < kTile)
        short_spread<side, add, 0>(values, output);
    else
        long_spread<add>(side, values, output);
}
template <bool add, class Output>
NOINLINE void window_spread(int side, Registers values, Output output) {
    switch (side) {
        case 1: return short_spread<1, add, 0>(values, output);
        case 3: return short_spread<3, add, 0>(values, output);
        case 5: return short_spread<5, add, 0>(values, output);
        case 7: return short_spread<7, add, 0>(values, output);
        default: return long_spread<add>(side, values, output);
    }
}
