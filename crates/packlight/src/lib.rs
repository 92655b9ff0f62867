//! Train with compressed activations and see what it does to the gradients: the facade and the command line.
