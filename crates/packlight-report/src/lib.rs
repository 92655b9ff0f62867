//! Records into tables, figures and one self-contained page.
