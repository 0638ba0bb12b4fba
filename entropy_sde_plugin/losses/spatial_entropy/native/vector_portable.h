// Four float lanes by the vector extension of GCC and Clang, which maps them on whatever the processor has (SSE2, NEON).
// Included inside a namespace.

constexpr int kLanes = 4;

typedef float Floats __attribute__((vector_size(16)));
typedef std::int32_t Whole __attribute__((vector_size(16)));

struct Vector {
    Floats x;
};

inline Vector load(const float* p) { return {*reinterpret_cast<const Floats*>(p)}; }
inline Vector load_any(const float* p) { return load(p); }  // four lanes always lie aligned
inline void store(float* p, Vector a) { *reinterpret_cast<Floats*>(p) = a.x; }
inline Vector broadcast(float a) { return {Floats{a, a, a, a}}; }
inline Vector repeat(const float* p) { return load(p); }
inline Vector spread(const float* p) { return broadcast(p[0]); }

inline Vector operator+(Vector a, Vector b) { return {a.x + b.x}; }
inline Vector operator-(Vector a, Vector b) { return {a.x - b.x}; }
inline Vector operator*(Vector a, Vector b) { return {a.x * b.x}; }
inline Vector multiply_add(Vector a, Vector b, Vector c) { return {c.x + a.x * b.x}; }
inline Vector multiply_sub(Vector a, Vector b, Vector c) { return {c.x - a.x * b.x}; }

inline Whole bits_of(Vector a) { return (Whole)a.x; }
inline Vector from_bits(Whole bits) { return {(Floats)bits}; }
inline Whole all(std::int32_t bits) { return Whole{bits, bits, bits, bits}; }

constexpr std::int32_t kSign = INT32_MIN;
inline Vector negative(Vector a) { return from_bits(bits_of(a) | all(kSign)); }  // -|a|
inline Vector copy_sign(Vector magnitude, Vector sign) {
    return from_bits(bits_of(magnitude) | (bits_of(sign) & all(kSign)));
}

inline Vector reciprocal(Vector a) { return {broadcast(1.0f).x / a.x}; }

// b / a, exactly 1 for a = b, and 1 / a.
inline Vector quotient(Vector b, Vector a, Vector& inverse) {
    inverse = reciprocal(a);
    return {b.x / a.x};
}

// Square root and half its inverse.
inline Vector square_root(Vector a, Vector& half_inverse) {
    Vector root;
    for (int k = 0; k < kLanes; ++k) root.x[k] = __builtin_sqrtf(a.x[k]);
    half_inverse.x = broadcast(0.5f).x / root.x;
    return root;
}

// sqrt(b / a)
inline Vector root_of_ratio(Vector b, Vector a) {
    Vector root{b.x / a.x};
    for (int k = 0; k < kLanes; ++k) root.x[k] = __builtin_sqrtf(root.x[k]);
    return root;
}

// 0 where a equals b, elsewhere the value.
inline Vector unless_equal(Vector a, Vector b, Vector value) { return from_bits((a.x != b.x) & bits_of(value)); }

// 2^a = 2^rest 2^whole with the rest in [0, 1), for a <= 0; below 2^-126 it stays there. NaN stays NaN.
// Adding 1.5 * 2^23 leaves no binary places, and the sum's low bits are those of the whole number.
constexpr float kWhole = 12582912.0f;
inline Vector split_power(Vector a, Vector& whole) {
    const Whole below = a.x < broadcast(-126.0f).x;
    const Vector bounded = from_bits((below & bits_of(broadcast(-126.0f))) | (~below & bits_of(a)));
    const Vector rounded = (bounded - broadcast(0.5f) + broadcast(kWhole)) - broadcast(kWhole);
    whole = rounded;
    return bounded - rounded;
}
inline Vector scale_by_power(Vector a, Vector whole) {
    const Whole exponent = bits_of(whole + broadcast(kWhole)) - bits_of(broadcast(kWhole));
    return a * from_bits((exponent + all(127)) << 23);
}

// a = mantissa 2^exponent with the mantissa in [0.75, 1.5), for a > 0. The exponent comes times 2^23.
inline Vector split(Vector a, Vector& exponent) {
    const Whole power = (bits_of(a) - all(0x3f400000)) & all(~0x7fffff);
    for (int k = 0; k < kLanes; ++k) exponent.x[k] = static_cast<float>(power[k]);
    return from_bits(bits_of(a) - power);
}

inline float sum(Vector a) { return (a.x[0] + a.x[1]) + (a.x[2] + a.x[3]); }

// Sums over each four lanes, in all four.
inline Vector sums_of_four(Vector a) { return broadcast(sum(a)); }
