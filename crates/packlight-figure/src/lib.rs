//! Figures of a report, drawn with plotters from plain slices.
