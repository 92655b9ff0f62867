// Softmax cross-entropy: a warp for each row of logits. Losses are in f64, their mean in f32.

template <class T>
__device__ void cross_entropy_forward(const T* logits, const int64_t* labels, T* probabilities,
                                      double* losses, Index rows, Index classes, double smoothing,
                                      Index ignored) {
    for (Index row : each_of_warp(rows)) {
        const T* x = logits + row * classes;
        float top = float_of(0xff800000); // minus infinity
        for (Index i : each_in_warp(classes)) top = Greatest()(top, wide(x[i]));
        top = join_warp(top, Greatest());
        double total = 0, below = 0;
        for (Index i : each_in_warp(classes)) {
            total += power_of_e(wide(x[i]) - top);
            below += double(top) - wide(x[i]);
        }
        total = join_warp(total, Sum());
        below = join_warp(below, Sum());
        float scale = float(1 / total);
        for (Index i : each_in_warp(classes))
            probabilities[row * classes + i] = narrow<T>(power_of_e(wide(x[i]) - top) * scale);
        if (threadIdx.x % 32 != 0) continue;
        losses[row] = 0;
        Index label = labels[row];
        if (label == ignored) continue;
        double loss = log(total) + (double(top) - wide(x[label]));
        if (smoothing != 0) {
            double of_all = double(classes) * log(total) + below;
            loss = (1 - smoothing) * loss + smoothing / double(classes) * of_all;
        }
        losses[row] = loss;
    }
}
KERNELS(cross_entropy_forward)

// The sum of the losses, divided by how many labels count.
__device__ void cross_entropy_mean(const double* losses, float* mean, Index rows, double counting) {
    for (Index only : each_of_block(1)) {
        double sum = 0;
        for (Index row : each_in_block(rows)) sum += losses[row];
        sum = join_block(sum, Sum());
        if (threadIdx.x == 0) mean[only] = float(sum / counting);
    }
}
KERNEL(cross_entropy_mean)

template <class T>
__device__ void cross_entropy_backward(const T* probabilities, const int64_t* labels,
                                       const float* grad, T* result, Index rows, Index classes,
                                       double smoothing, Index ignored, float counting) {
    double uniform = smoothing / double(classes);
    float scale = grad[0] / counting, of_others = scale * float(uniform);
    for (Index row : each_of_warp(rows)) {
        Index label = labels[row], first = row * classes;
        // The label's `p - 1`, in which a p near 1 would lose all its digits.
        double missed = 0;
        for (Index i : each_in_warp(classes)) {
            float p = wide(probabilities[first + i]);
            if (i != label) missed += p;
            result[first + i] = narrow<T>(label == ignored ? 0 : p * scale - of_others);
        }
        missed = join_warp(missed, Sum());
        if (label != ignored && label % 32 == threadIdx.x % 32)
            result[first + label] = narrow<T>(scale * float(smoothing - uniform - missed));
    }
}
KERNELS(cross_entropy_backward)
