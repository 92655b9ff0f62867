//! Data sets, studies, training runs, checkpoints and resume.
