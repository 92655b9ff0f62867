// In-place optimizer updates, in one pass over each tensor; parameters, gradients and states are in f32.

__device__ void optimizer_sgd(float* parameter, float* velocity, const float* grad, Index n, float rate,
                              float momentum, float decay, uint32_t nesterov) {
    for (Index i : each_element(n)) {
        float decayed = grad[i] + decay * parameter[i];
        float speed = momentum * velocity[i] + decayed;
        velocity[i] = speed;
        parameter[i] = parameter[i] - rate * (nesterov ? decayed + momentum * speed : speed);
    }
}
KERNEL(optimizer_sgd)

__device__ void optimizer_adamw(float* parameter, float* m, float* v, const float* grad, Index n,
                                float kept_of_m, float new_of_m, float kept_of_v, float new_of_v,
                                float of_m, float of_v, float epsilon, float rate, float decay) {
    for (Index i : each_element(n)) {
        float g = grad[i];
        m[i] = m[i] * kept_of_m + g * new_of_m;
        v[i] = v[i] * kept_of_v + g * g * new_of_v;
        float direction = m[i] * of_m / (sqrtf(v[i] * of_v) + epsilon);
        parameter[i] = parameter[i] * decay - direction * rate;
    }
}
KERNEL(optimizer_adamw)
