//! Layers, models with PyTorch parameter names, plans and optimizers.
