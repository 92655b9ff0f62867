//! Data sets: loads them, checks them and makes batches.
//!
//! A [`DataSpec`] says which set is wanted and in what form, [`load()`] reads and checks it, and a
//! [`Split`] makes batches of images, of pairs of sequences or of text. Until then, pixels stay bytes at
//! their own size, so a set of images takes no more memory than its files.
//!
//! Each loader rejects damaged files: a header, size, label or checksum that does not fit is an
//! [`Error`] that names the file, what was expected, what was found, and what to do.

mod augment;
mod cifar;
mod dataset;
mod digits;
mod error;
mod folder;
mod idx;
mod images;
mod jpeg;
mod labelled;
mod load;
mod multi30k;
mod normalise;
mod on_white;
mod pairs;
mod raw;
mod resize;
mod reverse;
mod set;
mod spec;
mod split;
mod text;
mod text_file;
mod vocabulary;

#[cfg(test)]
mod real_sets;
#[cfg(test)]
mod robustness;

pub use augment::Augment;
pub use dataset::{DataSet, Form};
pub use error::{Error, Result};
pub use images::Images;
pub use labelled::Labelled;
pub use load::{choose, data_dir, load};
pub use normalise::Normalise;
pub use pairs::Pairs;
pub use set::SetName;
pub use spec::DataSpec;
pub use split::{Batch, Split};
pub use text::Text;
pub use vocabulary::{BEGIN, END};
