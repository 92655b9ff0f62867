// Gram matrices of unfoldings: pieces of the unfolding beside each other, and the sum of their products.

// Pieces of `width` columns, each a matrix (rows,width), of the unfolding of (outer,rows,inner) along its
// middle axis; from the column `first` on, with 0 beyond the last one.
template <class T>
__device__ void gram_pieces(const T* tensor, float* pieces, Index count, Index first, Index width,
                            Index rows, Index columns, Index inner) {
    for (Index at : each_element(count)) {
        Divided line = divide(at, width), of_piece = divide(line.quotient, rows);
        Index column = first + of_piece.quotient * width + line.rest;
        float value = 0;
        if (column < columns) {
            Divided entry = divide(column, inner);
            value = wide(tensor[(entry.quotient * rows + of_piece.rest) * inner + entry.rest]);
        }
        pieces[at] = value;
    }
}
KERNELS(gram_pieces)

// The sum in f64 of the products (rows,rows) of pieces, of which the triangle above the diagonal counts,
// after what is there already.
__device__ void gram_sum(const float* products, const double* before, double* sums, Index pieces,
                         Index rows) {
    for (Index at : each_element(rows * rows)) {
        Divided place = divide(at, rows);
        Index low = place.quotient < place.rest ? place.quotient : place.rest;
        Index high = place.quotient < place.rest ? place.rest : place.quotient;
        double sum = before ? before[at] : 0;
        for (Index piece = 0; piece < pieces; piece++)
            sum += double(products[(piece * rows + low) * rows + high]);
        sums[at] = sum;
    }
}
KERNEL(gram_sum)

// The elements on the diagonal of a matrix (rows,rows).
__device__ void gram_diagonal(const double* matrix, double* diagonal, Index rows) {
    for (Index i : each_element(rows)) diagonal[i] = matrix[i * rows + i];
}
KERNEL(gram_diagonal)
