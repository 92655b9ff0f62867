//! The exact training at whose points single layers are measured.

use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::time::Instant;

use crate::checkpoint::Position;
use crate::instrument::Instrument;
use crate::run_trainer::{RunTrainer, steps_per_epoch};
use crate::sweep::Options;
use crate::{Error, Result};

/// The exact training with one seed. Its states are kept in a folder, each as a checkpoint that is
/// named by its seed and step, so that it goes on from there.
pub(super) struct ExactTraining<'a> {
    pub(super) trainer: RunTrainer<'a>,
    folder: PathBuf,
    step: u64,
    /// A state between two points, which is removed once there is a later one.
    passing: Option<PathBuf>,
}

impl<'a> ExactTraining<'a> {
    /// A training that keeps its states in `folder`, before its first step.
    pub(super) fn new(trainer: RunTrainer<'a>, folder: &Path) -> Self {
        Self { trainer, folder: folder.to_path_buf(), step: 0, passing: None }
    }

    /// Trains until `step` steps are done, from the last state that was kept. `points` are the steps
    /// whose states stay; `done` hears of each step.
    ///
    /// # Errors
    /// Returns [`Error::Interrupted`] when asked to stop, with its state kept; [`Error::Diverged`] if
    /// something is not finite; or another error if a state cannot be read or written.
    pub(super) fn reach(
        &mut self,
        step: u64,
        points: &[u64],
        options: &Options<'_>,
        mut done: impl FnMut(u64),
    ) -> Result<()> {
        self.restore(step, points)?;
        let per_epoch = steps_per_epoch(self.trainer.study, self.trainer.data);
        let mut saved = Instant::now();
        while self.step < step {
            if options.interrupted.load(Ordering::Relaxed) {
                self.keep(points)?;
                return Err(Error::Interrupted);
            }
            let (epoch, batch) = (self.step / per_epoch, (self.step % per_epoch) as usize);
            let order = self.trainer.order(epoch);
            let until_here = step.min((epoch + 1) * per_epoch) - self.step;
            for samples in
                order.chunks(self.trainer.study.batch).skip(batch).take(until_here as usize)
            {
                self.advance(samples, epoch)?;
                done(self.step);
                if options.interrupted.load(Ordering::Relaxed) {
                    break;
                }
                if saved.elapsed() >= options.checkpoint_every {
                    self.keep(points)?;
                    saved = Instant::now();
                }
            }
        }
        self.keep(points)
    }

    fn advance(&mut self, samples: &[usize], epoch: u64) -> Result<()> {
        let (step, seed) = (self.step, self.trainer.trainer.steps.seed());
        match self.trainer.step(samples, epoch, Instrument::None) {
            Ok(_) => self.step += 1,
            Err(error) => {
                let Some(reason) = error.divergence(step) else { return Err(error) };
                let reason = format!(
                    "the exact training of seed {seed} cannot go on: {reason}; measure at points \
                     before it, or lower the learning rate"
                );
                return Err(Error::Diverged { reason });
            }
        }
        Ok(())
    }

    /// Goes to the last state that was kept of those up to `step`, if it is later than the present one.
    fn restore(&mut self, step: u64, points: &[u64]) -> Result<()> {
        let seed = self.trainer.trainer.steps.seed();
        let Some(last) = last_kept(&self.folder, seed, self.step, step) else { return Ok(()) };
        let path = self.path(last);
        if self.trainer.restore(&path)?.is_some() {
            self.step = last;
            self.passing = (!points.contains(&last)).then_some(path);
        }
        Ok(())
    }

    /// Keeps the present state.
    fn keep(&mut self, points: &[u64]) -> Result<()> {
        let path = self.path(self.step);
        if self.step == 0 || path.exists() {
            return Ok(()); // the seed gives the state before the first step
        }
        let position = Position { step: self.step, ..Position::default() };
        self.trainer.checkpoint(position)?.save(&path)?;
        let passing = (!points.contains(&self.step)).then_some(path);
        if let Some(old) = std::mem::replace(&mut self.passing, passing) {
            std::fs::remove_file(&old).map_err(|e| Error::io(&old, e))?;
        }
        Ok(())
    }

    fn path(&self, step: u64) -> PathBuf {
        path(&self.folder, self.trainer.trainer.steps.seed(), step)
    }
}

/// The number of steps that a training with `seed` has to take to get to each of `points`, which
/// ascend, from the states that were kept.
pub(super) fn steps_left(folder: &Path, seed: u64, points: &[u64]) -> u64 {
    let (mut at, mut left) = (0, 0);
    for &point in points {
        left += point - last_kept(folder, seed, at, point).unwrap_or(at);
        at = point;
    }
    left
}

/// The last state that was kept of those after step `from` up to `to`.
fn last_kept(folder: &Path, seed: u64, from: u64, to: u64) -> Option<u64> {
    (from + 1..=to).rev().find(|&step| path(folder, seed, step).exists())
}

fn path(folder: &Path, seed: u64, step: u64) -> PathBuf {
    folder.join(format!("seed{seed}-step{step}.safetensors"))
}
