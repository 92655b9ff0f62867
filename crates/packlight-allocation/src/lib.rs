//! Which codec each layer gets, from what was measured of each.
