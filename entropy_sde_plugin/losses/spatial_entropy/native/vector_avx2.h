// Eight float lanes by AVX2 and FMA. Included inside a namespace, between the switches that turn the instructions on.

constexpr int kLanes = 8;

struct Vector {
    __m256 x;
};

inline Vector load(const float* p) { return {_mm256_load_ps(p)}; }
inline Vector load_any(const float* p) { return {_mm256_loadu_ps(p)}; }  // any alignment
inline void store(float* p, Vector a) { _mm256_store_ps(p, a.x); }
inline Vector broadcast(float a) { return {_mm256_set1_ps(a)}; }

// p[0..3] in both halves.
inline Vector repeat(const float* p) { return {_mm256_broadcast_ps(reinterpret_cast<const __m128*>(p))}; }

// p[0] in the first four lanes, p[1] in the next four.
inline Vector spread(const float* p) { return {_mm256_set_m128(_mm_set1_ps(p[1]), _mm_set1_ps(p[0]))}; }

inline Vector operator+(Vector a, Vector b) { return {_mm256_add_ps(a.x, b.x)}; }
inline Vector operator-(Vector a, Vector b) { return {_mm256_sub_ps(a.x, b.x)}; }
inline Vector operator*(Vector a, Vector b) { return {_mm256_mul_ps(a.x, b.x)}; }
inline Vector multiply_add(Vector a, Vector b, Vector c) { return {_mm256_fmadd_ps(a.x, b.x, c.x)}; }   // c + a b
inline Vector multiply_sub(Vector a, Vector b, Vector c) { return {_mm256_fnmadd_ps(a.x, b.x, c.x)}; }  // c - a b

// -|a|
inline Vector negative(Vector a) { return {_mm256_or_ps(a.x, _mm256_set1_ps(-0.0f))}; }
inline Vector copy_sign(Vector magnitude, Vector sign) {
    return {_mm256_or_ps(magnitude.x, _mm256_and_ps(_mm256_set1_ps(-0.0f), sign.x))};
}

inline Vector reciprocal(Vector a) { return {_mm256_div_ps(_mm256_set1_ps(1.0f), a.x)}; }

// b / a, exactly 1 for a = b, and 1 / a.
inline Vector quotient(Vector b, Vector a, Vector& inverse) {
    inverse = reciprocal(a);
    const __m256 ratio = _mm256_mul_ps(b.x, inverse.x);
    return {_mm256_fmadd_ps(_mm256_fnmadd_ps(ratio, a.x, b.x), inverse.x, ratio)};
}

// Square root and half its inverse, relative error 3e-7.
inline Vector square_root(Vector a, Vector& half_inverse) {
    const __m256 r = _mm256_rsqrt_ps(a.x), half = _mm256_set1_ps(0.5f);
    const __m256 s = _mm256_mul_ps(a.x, r), h = _mm256_mul_ps(r, half);
    const __m256 error = _mm256_fnmadd_ps(s, h, half);
    half_inverse.x = _mm256_fmadd_ps(h, error, h);
    return {_mm256_fmadd_ps(s, error, s)};
}

// sqrt(b / a), for a b neither too large nor too small to be a normal number. Relative error 3e-7.
inline Vector root_of_ratio(Vector b, Vector a) {
    const __m256 r = _mm256_rsqrt_ps(_mm256_mul_ps(a.x, b.x)), root = _mm256_mul_ps(b.x, r);
    const __m256 rest = _mm256_fnmadd_ps(_mm256_mul_ps(a.x, root), root, b.x);
    return {_mm256_fmadd_ps(rest, _mm256_mul_ps(r, _mm256_set1_ps(0.5f)), root)};
}

// 0 where a equals b, elsewhere the value.
inline Vector unless_equal(Vector a, Vector b, Vector value) {
    return {_mm256_and_ps(_mm256_cmp_ps(a.x, b.x, _CMP_NEQ_UQ), value.x)};
}

// 2^a = 2^rest 2^whole with the rest in [0, 1), for a <= 0; below 2^-126 it stays there. NaN stays NaN.
inline Vector split_power(Vector a, Vector& whole) {
    const __m256 bounded = _mm256_max_ps(_mm256_set1_ps(-126.0f), a.x);
    whole.x = _mm256_round_ps(bounded, _MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC);
    return {_mm256_sub_ps(bounded, whole.x)};
}
inline Vector scale_by_power(Vector a, Vector whole) {
    const __m256i exponent = _mm256_add_epi32(_mm256_cvtps_epi32(whole.x), _mm256_set1_epi32(127));
    return {_mm256_mul_ps(a.x, _mm256_castsi256_ps(_mm256_slli_epi32(exponent, 23)))};
}

// a = mantissa 2^exponent with the mantissa in [0.75, 1.5), for a > 0. The exponent comes times 2^23.
inline Vector split(Vector a, Vector& exponent) {
    const __m256i bits = _mm256_castps_si256(a.x);
    const __m256i power = _mm256_and_si256(_mm256_sub_epi32(bits, _mm256_set1_epi32(0x3f400000)),
                                           _mm256_set1_epi32(static_cast<int>(0xff800000)));
    exponent.x = _mm256_cvtepi32_ps(power);
    return {_mm256_castsi256_ps(_mm256_sub_epi32(bits, power))};
}

inline float sum(Vector a) {
    const __m128 four = _mm_add_ps(_mm256_castps256_ps128(a.x), _mm256_extractf128_ps(a.x, 1));
    const __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
    return _mm_cvtss_f32(_mm_add_ss(two, _mm_shuffle_ps(two, two, 1)));
}

// Sums over each four lanes, in all four.
inline Vector sums_of_four(Vector a) {
    const __m256 two = _mm256_add_ps(a.x, _mm256_permute_ps(a.x, 0xb1));
    return {_mm256_add_ps(two, _mm256_permute_ps(two, 0x4e))};
}
