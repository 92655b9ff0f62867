//! Codecs: what a layer keeps of its input for the backward pass.
