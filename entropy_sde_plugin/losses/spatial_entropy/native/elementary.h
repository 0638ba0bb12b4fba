// Powers of two and logarithms to float32 accuracy. Included inside a namespace. Coefficients: minimax fits of the
// relative error.

// 2^a for a <= 0. Relative error 1e-7, and |a| times that of a.
INLINE Vector power_of_two(Vector a) {
    Vector whole;
    const Vector r = split_power(a, whole);
    Vector y = multiply_add(broadcast(1.8775766948238015e-3f), r, broadcast(8.989340625703335e-3f));
    y = multiply_add(y, r, broadcast(5.582631751894951e-2f));
    y = multiply_add(y, r, broadcast(0.24015361070632935f));
    y = multiply_add(y, r, broadcast(0.6931530833244324f));
    y = multiply_add(y, r, broadcast(0.9999999403953552f));
    return scale_by_power(y, whole);
}

// ln(a) for normal a > 0; exactly 0 at 1, relative error 3e-7 around it.
INLINE Vector logarithm(Vector a) {
    Vector exponent;
    const Vector z = split(a, exponent) - broadcast(1.0f);
    Vector y = multiply_add(broadcast(-6.646060943603516e-2f), z, broadcast(0.1413186937570572f));
    y = multiply_add(y, z, broadcast(-0.1737222522497177f));
    y = multiply_add(y, z, broadcast(0.2010803371667862f));
    y = multiply_add(y, z, broadcast(-0.24976791441440582f));
    y = multiply_add(y, z, broadcast(0.33329764008522034f));
    y = multiply_add(y, z, broadcast(-0.5000021457672119f));
    y = multiply_add(y, z, broadcast(1.0000001192092896f));
    return multiply_add(exponent, broadcast(8.262958294867817e-8f), y * z);  // ln 2 / 2^23
}
