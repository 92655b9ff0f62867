// Rows approximated by multiples of the nearest of a few lines: a warp for each.

// The sums of the squares of rows.
__device__ void nearest_line_squares(const float* lines, float* squares, Index count, Index n) {
    for (Index line : each_of_warp(count)) {
        double sum = 0;
        for (Index i : each_in_warp(n)) sum += double(lines[line * n + i]) * double(lines[line * n + i]);
        sum = join_warp(sum, Sum());
        if (threadIdx.x % 32 == 0) squares[line] = float(sum);
    }
}
KERNEL(nearest_line_squares)

// The first line for which the product of a row with its unit vector is the largest, from products (t,k) of
// rows with lines; and the factor of the closest point on it.
template <class T>
__device__ void nearest_line_longest(const float* products, const float* squares, uint32_t* indices,
                                     T* factors, Index rows, Index lines) {
    for (Index row : each_of_warp(rows)) {
        const float* own = products + row * lines;
        auto length_of = [&](Index line) {
            float square = squares[line], scale = square > 0 ? 1.0f / sqrtf(square) : 0;
            return fabsf(own[line] * scale);
        };
        float longest = float_of(0xff800000); // minus infinity
        for (Index line : each_in_warp(lines)) longest = Greatest()(longest, length_of(line));
        longest = join_warp(longest, Greatest());
        Index best = lines;
        for (Index line : each_in_warp(lines))
            if (best == lines && length_of(line) == longest) best = line;
        best = join_warp(best, Least());
        if (best == lines) best = 0; // nothing but NaN
        if (threadIdx.x % 32 == 0) {
            float square = squares[best];
            indices[row] = uint32_t(best);
            factors[row] = narrow<T>(square > 0 ? own[best] / square : own[best]);
        }
    }
}
KERNELS(nearest_line_longest)

// Rows from the lines that they are nearest to.
template <class T>
__device__ void nearest_line_restore(const T* lines, const uint32_t* indices, const T* factors, T* rows,
                                     Index count, Index n) {
    for (Index at : each_element(count)) {
        Divided place = divide(at, n);
        Index line = indices[place.quotient];
        rows[at] = narrow<T>(wide(factors[place.quotient]) * wide(lines[line * n + place.rest]));
    }
}
KERNELS(nearest_line_restore)

// The matrix (t,lines) with the factor of each row at its line, and 0 elsewhere.
template <class T>
__device__ void nearest_line_spread(const uint32_t* indices, const T* factors, T* matrix, Index count,
                                    Index lines) {
    for (Index at : each_element(count)) {
        Divided place = divide(at, lines);
        bool own = Index(indices[place.quotient]) == place.rest;
        matrix[at] = own ? factors[place.quotient] : narrow<T>(0);
    }
}
KERNELS(nearest_line_spread)
