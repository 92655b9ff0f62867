//! Activations and links: differentiable operations that keep only packed tensors for the backward pass.
