//! One run of a study: its folder, its manifest, and whether anything is left to train.

use std::fmt;
use std::path::{Path, PathBuf};

use packlight_nn::ModelSpec;
use packlight_nn::weights::File;
use packlight_record::{Manifest, Record, RunState, atomic_file, last_of_log, read_log};
use packlight_spec::layout::{MANIFEST, RECORDS};
use packlight_spec::{Difference, NamedPlan, differences, run_name};

use crate::checkpoint::{CHECKPOINT, Position};
use crate::data::DataSet;
use crate::progress::Event;
use crate::run_trainer::{Ending, RunTrainer, WEIGHTS, Watch};
use crate::spec::Study;
use crate::{Error, Result, device, other_data, shortened};

/// How far a run has got.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Standing {
    /// It has no folder, or its folder has no manifest.
    New,
    /// It was started and can be resumed.
    Unfinished,
    /// It reached its planned end.
    Finished,
    /// It reached its planned end, but its records have lost theirs.
    Damaged(String),
    /// It diverged, and would diverge again.
    Diverged(String),
}

impl Standing {
    /// Whether anything is left to train.
    pub(crate) fn is_to_do(&self) -> bool {
        matches!(self, Standing::New | Standing::Unfinished)
    }
}

/// One plan with one seed.
pub(crate) struct Run<'a> {
    pub(crate) study: &'a Study,
    pub(crate) data: &'a DataSet,
    pub(crate) model: &'a ModelSpec,
    pub(crate) plan_index: usize,
    pub(crate) plan: &'a NamedPlan,
    pub(crate) seed: u64,
    /// The factor on the study's epochs.
    pub(crate) scale: f64,
    pub(crate) threads: usize,
    pub(crate) folder: PathBuf,
    /// Its name in messages: prefixed with the study's name if there are several studies.
    pub(crate) label: String,
    /// Its number among all runs, from 1, and the number of runs.
    pub(crate) place: (usize, usize),
    /// The estimate of its time from beginning to end, in seconds.
    pub(crate) seconds: f64,
}

impl Run<'_> {
    /// The run's name, which is also the name of its folder.
    pub(crate) fn name(&self) -> String {
        run_name(&self.plan.name, self.seed)
    }

    /// Whether two runs differ only in their seeds.
    pub(crate) fn same_plan(&self, other: &Self) -> bool {
        std::ptr::eq(self.plan, other.plan)
    }

    /// Makes its trainer, before the first step.
    pub(crate) fn trainer(&self) -> Result<RunTrainer<'_>> {
        RunTrainer::new(self.study, self.data, self.model, self.plan, self.seed)
    }

    /// The step at which it will go on, if its checkpoint can be read.
    pub(crate) fn step(&self) -> u64 {
        Position::of(&self.folder.join(CHECKPOINT)).map_or(0, |position| position.step)
    }

    /// Reads from the files on disk how far the run has got.
    ///
    /// # Errors
    /// Returns an error if the run was started with another study, other data or another version.
    pub(crate) fn standing(&self) -> Result<Standing> {
        if !self.is_known()? {
            return Ok(Standing::New);
        }
        let found = Manifest::read(&self.folder)?;
        if found.study_hash != self.study.hash(self.plan, self.seed)? {
            return Err(self.changed("the study", self.study_then_and_now(&found)?));
        }
        if found.data_hash != self.data.checksum {
            return Err(self.changed("the data", self.data_then_and_now(&found)));
        }
        let path = self.folder.join(RECORDS);
        if found.state == RunState::Finished {
            return Ok(match last_of_log(&path)? {
                Some(Record::Finished { .. }) => Standing::Finished,
                _ => Standing::Damaged(packlight_record::Error::NoEnd { path }.to_string()),
            });
        }
        let records = read_log::<Record>(&path)?;
        if let Some(Record::Diverged { reason, .. }) = records.values.last() {
            return Ok(Standing::Diverged(reason.clone()));
        }
        if found.version != VERSION {
            let how = then_and_now(&found.version, VERSION);
            return Err(self.changed("the version of Packlight", how));
        }
        Ok(Standing::Unfinished)
    }

    /// Whether there is a manifest. An error of the file system is returned, so that no run is
    /// lost.
    fn is_known(&self) -> Result<bool> {
        let path = self.folder.join(MANIFEST);
        path.try_exists().map_err(|e| Error::io(&path, e))
    }

    /// Trains to the end, from the checkpoint if there is one, and writes to the manifest how the
    /// run ended.
    ///
    /// # Errors
    /// Returns an error if the run did not reach its end. The manifest then has the reason, unless
    /// the run was interrupted.
    pub(crate) fn train(&self, watch: &mut Watch<'_>) -> Result<Ending> {
        if !self.is_known()? {
            remove(&self.folder)?; // a checkpoint without a manifest could be of any run
        }
        std::fs::create_dir_all(&self.folder).map_err(|e| Error::io(&self.folder, e))?;
        atomic_file::remove_leftovers(&self.folder)?; // left by a killed process
        let mut trainer = self.trainer()?;
        self.note(&trainer, RunState::Unfinished)?;
        let ending = self.go_on(&mut trainer, watch);
        let state = match &ending {
            Ok(Ending::Finished) => RunState::Finished,
            Ok(Ending::Diverged(reason)) => RunState::Failed { reason: reason.clone() },
            Err(Error::Interrupted) => RunState::Unfinished,
            Err(error) => RunState::Failed { reason: error.to_string() },
        };
        self.note(&trainer, state)?;
        ending
    }

    /// Writes to the manifest that the run failed, if the process was killed before it could.
    ///
    /// # Errors
    /// Returns an error if the manifest cannot be read or written.
    pub(crate) fn note_failure(&self, reason: &str) -> Result<()> {
        let mut manifest = Manifest::read(&self.folder)?;
        if manifest.state == RunState::Unfinished {
            manifest.state = RunState::Failed { reason: reason.to_owned() };
            manifest.write(&self.folder)?;
        }
        Ok(())
    }

    fn go_on(&self, trainer: &mut RunTrainer<'_>, watch: &mut Watch<'_>) -> Result<Ending> {
        let position = match trainer.restore(&self.folder.join(CHECKPOINT))? {
            Some(position) => position,
            None => {
                self.start(trainer)?;
                Position::default()
            }
        };
        let (number, of) = self.place;
        let (step, steps, seconds) = (position.step, trainer.total_steps(), self.seconds);
        watch.progress.event(Event::Started { run: &self.label, number, of, step, steps, seconds });
        trainer.train(&self.folder, position, watch)
    }

    /// Loads the weights of the run that the plan starts from, if there is one.
    ///
    /// # Errors
    /// Returns an error if that run has not finished, or its weights cannot be read.
    fn start(&self, trainer: &RunTrainer<'_>) -> Result<()> {
        let Some(source) = self.study.source_of(self.plan) else { return Ok(()) };
        let run = run_name(&source.name, self.seed);
        let folder = self.folder.with_file_name(&run);
        let reason = match Manifest::read(&folder).map(|manifest| manifest.state) {
            Ok(RunState::Finished) => {
                match File::open(&folder.join(WEIGHTS)).and_then(|file| trainer.model.load(&file)) {
                    Ok(()) => return Ok(()),
                    Err(e) => format!("cannot be used: {e}; remove {}", folder.display()),
                }
            }
            Ok(RunState::Failed { reason }) => format!("failed: {reason}"),
            Ok(RunState::Unfinished) => "has not finished; run the study again".to_owned(),
            Err(e) => e.to_string(),
        };
        Err(Error::Source { run, reason })
    }

    fn changed(&self, what: &'static str, how: String) -> Error {
        Error::Changed { folder: self.folder.clone(), what, how }
    }

    /// The keys of the study whose values were others when the run was started; only the hashes, if
    /// the run is of a version that did not write its settings down.
    fn study_then_and_now(&self, found: &Manifest) -> Result<String> {
        let now = self.study.settings(self.plan, self.seed)?;
        let mut differ = found.settings.as_ref().map_or(vec![], |then| differences(then, &now));
        if differ.len() > 1 {
            differ.retain(|d| d.key != "from"); // it changes with whatever the plans share
        }
        if differ.is_empty() {
            let hash = self.study.hash(self.plan, self.seed)?;
            let (then, now) = (shortened(&found.study_hash), shortened(&hash));
            return Ok(format!("SHA-256 of its settings: {then} then, {now} now"));
        }
        let in_words = |d: &Difference| match d.key.as_str() {
            "epochs" if found.scale != self.scale => {
                format!("--scale: {}", then_and_now(found.scale, self.scale))
            }
            "from" => "it starts from other weights".to_owned(),
            _ => d.in_words("then", "now"),
        };
        Ok(differ.iter().map(in_words).collect::<Vec<_>>().join("; "))
    }

    fn data_then_and_now(&self, found: &Manifest) -> String {
        match self.data_in_words() {
            now if now != found.data => then_and_now(&found.data, now),
            _ => other_data(&self.data.name, &found.data_hash, &self.data.checksum),
        }
    }

    fn model_in_words(&self, label_smoothing: f64) -> String {
        let mut words = self.model.in_words();
        if label_smoothing > 0.0 {
            words += &format!(", trained on labels smoothed by {label_smoothing}");
        }
        match &self.study.weights {
            Some(weights) => format!("{words}, from {}", weights.name()),
            None => words,
        }
    }

    fn data_in_words(&self) -> String {
        format!("{}, {}", self.data.name, self.data.form)
    }

    fn note(&self, trainer: &RunTrainer<'_>, state: RunState) -> Result<()> {
        let manifest = Manifest {
            study: self.study.name.clone(),
            title: self.study.title.clone(),
            plan: self.plan.name.clone(),
            plan_index: self.plan_index as u64,
            plan_spec: self.plan.spec.clone(),
            seed: self.seed,
            epochs: self.study.epochs_of(self.plan),
            scale: self.scale,
            from: self.plan.from.clone(),
            model: self.model_in_words(trainer.model.label_smoothing()),
            parameters: trainer.model.parameters().count() as u64,
            data: self.data_in_words(),
            train_samples: self.data.train.len() as u64,
            test_samples: self.data.test.len() as u64,
            guessed: Some(self.data.test.most_frequent()),
            batch: self.study.batch as u64,
            settings: Some(self.study.settings(self.plan, self.seed)?),
            study_hash: self.study.hash(self.plan, self.seed)?,
            data_hash: self.data.checksum.clone(),
            version: VERSION.to_owned(),
            cpu: device::name(&trainer.device),
            threads: self.threads as u64,
            state,
        };
        Ok(manifest.write(&self.folder)?)
    }
}

fn then_and_now(then: impl fmt::Display, now: impl fmt::Display) -> String {
    format!("{then} then, {now} now")
}

/// Removes a run's folder and everything in it.
pub(crate) fn remove(folder: &Path) -> Result<()> {
    match std::fs::remove_dir_all(folder) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(Error::io(folder, e)),
        _ => Ok(()),
    }
}

pub(crate) const VERSION: &str = env!("CARGO_PKG_VERSION");
