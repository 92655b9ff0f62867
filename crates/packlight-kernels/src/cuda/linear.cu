// The bias's gradient of a fully connected layer: the sums of the columns of a matrix.

// The sums of `size` rows each, in f64: a thread for each column and piece.
template <class T>
__device__ void linear_sum_pieces(const T* grad, double* sums, Index rows, Index columns,
                                  Index size) {
    for (Index i : each_element((rows + size - 1) / size * columns)) {
        Divided piece = divide(i, columns);
        Index start = piece.quotient * size, end = start + size < rows ? start + size : rows;
        double sum = 0;
        for (Index row = start; row < end; row++) sum += double(wide(grad[row * columns + piece.rest]));
        sums[i] = sum;
    }
}
KERNELS(linear_sum_pieces)

// The sums over all pieces, in their order.
template <class T>
__device__ void linear_join_pieces(const double* sums, T* result, Index pieces, Index columns) {
    for (Index column : each_element(columns)) {
        double sum = 0;
        for (Index piece = 0; piece < pieces; piece++) sum += sums[piece * columns + column];
        result[column] = narrow<T>(float(sum));
    }
}
KERNELS(linear_join_pieces)
