// Sixteen float lanes by AVX-512. Included inside a namespace, between the switches that turn the instructions on.

constexpr int kLanes = 16;

struct Vector {
    __m512 x;
};

inline Vector load(const float* p) { return {_mm512_load_ps(p)}; }
inline Vector load_any(const float* p) { return {_mm512_loadu_ps(p)}; }  // any alignment
inline void store(float* p, Vector a) { _mm512_store_ps(p, a.x); }
inline Vector broadcast(float a) { return {_mm512_set1_ps(a)}; }

// p[0..3] in every quarter.
inline Vector repeat(const float* p) { return {_mm512_broadcast_f32x4(_mm_load_ps(p))}; }

// p[0] in the first four lanes, p[1] in the next four, ...
inline Vector spread(const float* p) {
    const __m512i quarter = _mm512_set_epi32(3, 3, 3, 3, 2, 2, 2, 2, 1, 1, 1, 1, 0, 0, 0, 0);
    return {_mm512_permutexvar_ps(quarter, _mm512_castps128_ps512(_mm_loadu_ps(p)))};
}

inline Vector operator+(Vector a, Vector b) { return {_mm512_add_ps(a.x, b.x)}; }
inline Vector operator-(Vector a, Vector b) { return {_mm512_sub_ps(a.x, b.x)}; }
inline Vector operator*(Vector a, Vector b) { return {_mm512_mul_ps(a.x, b.x)}; }
inline Vector multiply_add(Vector a, Vector b, Vector c) { return {_mm512_fmadd_ps(a.x, b.x, c.x)}; }    // c + a b
inline Vector multiply_sub(Vector a, Vector b, Vector c) { return {_mm512_fnmadd_ps(a.x, b.x, c.x)}; }   // c - a b

// -|a|
inline Vector negative(Vector a) { return {_mm512_or_ps(a.x, _mm512_set1_ps(-0.0f))}; }
inline Vector copy_sign(Vector magnitude, Vector sign) {
    const __m512 bit = _mm512_set1_ps(-0.0f);
    return {_mm512_or_ps(magnitude.x, _mm512_and_ps(bit, sign.x))};
}

// Relative error 1e-7.
inline Vector reciprocal(Vector a) {
    const __m512 r = _mm512_rcp14_ps(a.x);
    return {_mm512_fmadd_ps(r, _mm512_fnmadd_ps(a.x, r, _mm512_set1_ps(1.0f)), r)};
}

// b / a to the last bit but one, and exactly 1 for a = b; `inverse` to 14 bits.
inline Vector quotient(Vector b, Vector a, Vector& inverse) {
    inverse.x = _mm512_rcp14_ps(a.x);
    const __m512 ratio = _mm512_mul_ps(b.x, inverse.x);
    return {_mm512_fmadd_ps(_mm512_fnmadd_ps(ratio, a.x, b.x), inverse.x, ratio)};
}

// Square root and half its inverse, relative error 2e-7.
inline Vector square_root(Vector a, Vector& half_inverse) {
    const __m512 r = _mm512_rsqrt14_ps(a.x), half = _mm512_set1_ps(0.5f);
    const __m512 s = _mm512_mul_ps(a.x, r), h = _mm512_mul_ps(r, half);
    const __m512 error = _mm512_fnmadd_ps(s, h, half);
    half_inverse.x = _mm512_fmadd_ps(h, error, h);
    return {_mm512_fmadd_ps(s, error, s)};
}

// sqrt(b / a), for a b neither too large nor too small to be a normal number. Relative error 2e-7.
inline Vector root_of_ratio(Vector b, Vector a) {
    const __m512 r = _mm512_rsqrt14_ps(_mm512_mul_ps(a.x, b.x)), root = _mm512_mul_ps(b.x, r);
    const __m512 rest = _mm512_fnmadd_ps(_mm512_mul_ps(a.x, root), root, b.x);
    return {_mm512_fmadd_ps(rest, _mm512_mul_ps(r, _mm512_set1_ps(0.5f)), root)};
}

// 0 where a equals b, elsewhere the value.
inline Vector unless_equal(Vector a, Vector b, Vector value) {
    return {_mm512_maskz_mov_ps(_mm512_cmp_ps_mask(a.x, b.x, _CMP_NEQ_UQ), value.x)};
}

// 2^a = 2^rest 2^whole with the rest in [0, 1), for a <= 0.
inline Vector split_power(Vector a, Vector& whole) {
    whole = a;
    return {_mm512_reduce_ps(a.x, _MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC)};
}
inline Vector scale_by_power(Vector a, Vector whole) { return {_mm512_scalef_ps(a.x, whole.x)}; }

// a = mantissa 2^exponent with the mantissa in [0.75, 1.5), for a > 0. The exponent comes times 2^23.
inline Vector split(Vector a, Vector& exponent) {
    const __m512 mantissa = _mm512_getmant_ps(a.x, _MM_MANT_NORM_p75_1p5, _MM_MANT_SIGN_src);
    exponent.x = _mm512_cvtepi32_ps(_mm512_sub_epi32(_mm512_castps_si512(a.x), _mm512_castps_si512(mantissa)));
    return {mantissa};
}

inline float sum(Vector a) { return _mm512_reduce_add_ps(a.x); }

// Sums over each four lanes, in all four.
inline Vector sums_of_four(Vector a) {
    const __m512 two = _mm512_add_ps(a.x, _mm512_permute_ps(a.x, 0xb1));
    return {_mm512_add_ps(two, _mm512_permute_ps(two, 0x4e))};
}
