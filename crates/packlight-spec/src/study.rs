//! `study.toml`: one reproducible experiment.

use std::path::Path;

use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::from_toml::from_toml;
use crate::layout::STUDY;
use crate::named_plan::in_order;
use crate::{
    Adaptation, DeviceSpec, Error, Fault, NamedPlan, OptimizerSpec, PlanSpec, Precision,
    Pretrained, ProbeSpec, Result, Schedule, SensitivitySpec,
};

/// The largest number of epochs of a run; a larger number is taken for a typing error.
const MOST_EPOCHS: u64 = 1_000_000;

/// The largest number of threads, beyond which a machine may fail to make them.
const MOST_THREADS: usize = 1024;

/// One reproducible experiment: a model, data, plans and seeds.
///
/// The crates with models and data sets supply the types that read `[model]` and `[data]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Study<Model, Data> {
    /// A short name.
    pub name: String,
    /// What the study is about, for people.
    pub title: String,
    /// Each plan is run once with each seed.
    pub seeds: Vec<u64>,
    /// Passes over the training data, for each plan that has no `epochs` of its own.
    pub epochs: u64,
    /// Samples in a batch; the last one of an epoch may be smaller, unless it is left out.
    pub batch: usize,
    /// Whether to leave out the last batch of an epoch if it is smaller than the others. Each epoch
    /// has its own order, so different samples are left out.
    #[serde(default)]
    pub drop_last: bool,
    /// Threads to compute with; by default, all that the machine has. It changes no record.
    #[serde(default)]
    pub threads: Option<usize>,
    /// Where to compute.
    #[serde(default)]
    pub device: DeviceSpec,
    /// What activations are computed and saved in.
    #[serde(default)]
    pub precision: Precision,
    /// The network.
    pub model: Model,
    /// The weights that runs start from if their plan has no `from`; by default, they are drawn at
    /// random.
    #[serde(default)]
    pub weights: Option<Pretrained>,
    /// The data.
    pub data: Data,
    /// The plans to compare, in the order of the file.
    #[serde(deserialize_with = "in_order")]
    pub plans: Vec<NamedPlan>,
    /// How parameters are updated.
    pub optimizer: OptimizerSpec,
    /// How the learning rate changes.
    #[serde(default)]
    pub schedule: Schedule,
    /// When to record exact and compressed gradients side by side.
    #[serde(default)]
    pub probe: ProbeSpec,
    /// What to measure of single layers; does not change any run.
    #[serde(default)]
    pub sensitivity: Option<SensitivitySpec>,
}

impl<Model: DeserializeOwned, Data: DeserializeOwned> Study<Model, Data> {
    /// Reads and checks the study in `folder`; its file of weights may be in `data_dir`, the folder with the
    /// data sets. The caller must check that the codecs of its plans exist.
    ///
    /// # Errors
    /// Returns an error if `study.toml` is missing, is not TOML, has an unknown key (the nearest valid
    /// one is suggested) or an invalid value, or if its file of weights cannot be read.
    pub fn read(folder: &Path, data_dir: Option<&Path>) -> Result<Self> {
        let path = folder.join(STUDY);
        let text = std::fs::read_to_string(&path).map_err(|e| Error::io(&path, e))?;
        let mut study = Self::parse(&text).map_err(|reason| Error::invalid(&path, reason))?;
        if let Some(written) = &study.weights {
            study.weights = written.find(folder, data_dir)?;
        }
        Ok(study)
    }

    /// Reads and checks a study's text; the error says what is wrong with it.
    fn parse(text: &str) -> Result<Self, String> {
        let study: Self = from_toml(text)?;
        study.check().map_err(|fault| fault.to_string())?;
        Ok(study)
    }
}

impl<Model, Data> Study<Model, Data> {
    /// Checks every value except those of the model and the data, which are checked as they are
    /// read.
    ///
    /// # Errors
    /// Returns the first value that is not valid.
    pub fn check(&self) -> Result<(), Fault> {
        if self.name.trim().is_empty() {
            return Err(Fault::new("name", "is empty; give the study a short name"));
        }
        self.check_seeds()?;
        if self.batch == 0 {
            return Err(Fault::new("batch", "0 given, expected at least 1"));
        }
        if let Some(threads) = self.threads {
            Fault::unless_within("threads", threads, 1..=MOST_THREADS)?;
        }
        check_epochs("epochs", self.epochs)?;
        if self.plans.is_empty() {
            return Err(Fault::new(
                "plans",
                "is empty; give at least one, as in `none = \"none\"`",
            ));
        }
        for (index, plan) in self.plans.iter().enumerate() {
            plan.check(&self.plans[..index], self.sensitivity.as_ref())
                .map_err(|fault| fault.within("plans"))?;
        }
        self.optimizer.check().map_err(|fault| fault.within("optimizer"))?;
        self.schedule.check().map_err(|fault| fault.within("schedule"))?;
        self.probe.check().map_err(|fault| fault.within("probe"))?;
        match &self.sensitivity {
            Some(spec) => spec.check().map_err(|fault| fault.within("sensitivity")),
            None => Ok(()),
        }
    }

    fn check_seeds(&self) -> Result<(), Fault> {
        if self.seeds.is_empty() {
            return Err(Fault::new("seeds", "is empty; give at least one, as in `seeds = [0, 1]`"));
        }
        let mut seeds = self.seeds.clone();
        seeds.sort_unstable();
        match seeds.windows(2).find(|pair| pair[0] == pair[1]) {
            Some(pair) => Err(Fault::new("seeds", format!("{} stands there twice", pair[0]))),
            None => Ok(()),
        }
    }

    /// The number of passes over the training data with `plan`; the schedule stretches over them.
    pub fn epochs_of(&self, plan: &NamedPlan) -> u64 {
        plan.epochs.unwrap_or(self.epochs)
    }

    /// The plan whose weights `plan` starts from, if any; it precedes `plan` in the file.
    pub fn source_of(&self, plan: &NamedPlan) -> Option<&NamedPlan> {
        self.plans.iter().find(|other| Some(&other.name) == plan.from.as_ref())
    }

    /// What `plan` does during training if it is adaptive, with what it leaves to `[sensitivity]`.
    ///
    /// # Errors
    /// Returns the first value that is not valid, as [`Study::check`] does.
    pub fn adaptation_of(&self, plan: &NamedPlan) -> Result<Option<Adaptation>, Fault> {
        let adaptive = plan.adaptive.as_ref();
        adaptive.map(|adaptive| adaptive.within(self.sensitivity.as_ref())).transpose()
    }

    /// The same study with the epochs of every plan multiplied by `factor` and rounded, to at least
    /// 1; a longer schedule stays longer than a shorter one, by an epoch if need be. Seeds, batch
    /// and the steps of the probe do not change. A run's hash includes its epochs, so a run that was
    /// started at one scale cannot resume at another.
    ///
    /// # Errors
    /// Returns an error if the number of epochs becomes too large.
    pub fn scaled(mut self, factor: f64) -> Result<Self> {
        let own = self.plans.iter_mut().filter_map(|plan| plan.epochs.as_mut());
        let mut all: Vec<&mut u64> = own.chain([&mut self.epochs]).collect();
        all.sort_unstable();
        let (mut before, mut scaled): (u64, u64) = (0, 0);
        for epochs in all {
            if *epochs > before {
                before = *epochs;
                scaled = ((before as f64 * factor).round() as u64).max(scaled.saturating_add(1));
            }
            *epochs = scaled;
        }
        match self.check() {
            Ok(()) => Ok(self),
            Err(fault) => {
                let reason = format!("with a scale of {factor}, {fault}");
                Err(Error::invalid(Path::new(STUDY), reason))
            }
        }
    }

    /// The number of threads that the study asks for, or all that the machine has.
    pub fn threads(&self) -> usize {
        let all = || std::thread::available_parallelism().map_or(1, usize::from);
        self.threads.unwrap_or_else(all)
    }
}

impl NamedPlan {
    /// Checks the plan's name, text, epochs and source. The source must be one of the plans
    /// `above`, because these run before it.
    fn check(
        &self,
        above: &[NamedPlan],
        sensitivity: Option<&SensitivitySpec>,
    ) -> Result<(), Fault> {
        let name = self.name.as_str();
        if !is_file_name(name) {
            return Err(Fault::new(
                name,
                "a plan's name becomes part of a folder's name: use letters, digits, `-` and `_`",
            ));
        }
        if let Some(epochs) = self.epochs {
            check_epochs("epochs", epochs).map_err(|fault| fault.within(name))?;
        }
        self.check_source(above).map_err(|reason| Fault::new(format!("{name}.from"), reason))?;
        if let Some(adaptive) = &self.adaptive {
            let within = adaptive.within(sensitivity).map(drop);
            return within.map_err(|fault| fault.within("adaptive").within(name));
        }
        match self.spec.parse::<PlanSpec>() {
            Ok(_) => Ok(()),
            Err(reason) => Err(Fault::new(name, format!("plan `{}`: {reason}", self.spec))),
        }
    }

    fn check_source(&self, above: &[NamedPlan]) -> Result<(), String> {
        let Some(from) = &self.from else { return Ok(()) };
        let names: Vec<&str> = above.iter().map(|plan| plan.name.as_str()).collect();
        match names.as_slice() {
            names if names.contains(&from.as_str()) => Ok(()),
            [] => Err(format!("`{from}` given, but no plan stands above this one; move it below")),
            names => Err(format!(
                "`{from}` given, expected a plan that stands above: {}",
                names.join(", ")
            )),
        }
    }
}

fn check_epochs(key: &str, epochs: u64) -> Result<(), Fault> {
    match epochs {
        0 => Err(Fault::new(key, "0 given, expected at least 1")),
        1..=MOST_EPOCHS => Ok(()),
        _ => Err(Fault::new(key, format!("{epochs} given, expected at most {MOST_EPOCHS}"))),
    }
}

/// Whether `name` is valid as the name of a folder, or as part of one, on every system.
pub(crate) fn is_file_name(name: &str) -> bool {
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    !name.is_empty() && name.len() <= 100 && name.chars().all(fits)
}

/// Bytes as lower-case hexadecimal digits.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use toml::Table;

    type Study = super::Study<Table, Table>;

    const TEXT: &str = r#"
name = "study"
title = "A title"
seeds = [0, 1]
epochs = 2
batch = 8

[model]
name = "resnet18"

[data]
name = "digits"

[plans]
none = "none"
b = "pool4"
a = { plan = "layer1.*=pool2", epochs = 3 }

[optimizer]
name = "sgd"
learning_rate = 0.1
"#;

    #[test]
    fn plans_keep_the_order_of_the_file() {
        let study = Study::parse(TEXT).unwrap();
        let names: Vec<&str> = study.plans.iter().map(|plan| plan.name.as_str()).collect();
        assert_eq!(names, ["none", "b", "a"]);
        assert_eq!(study.plans[2].spec, "layer1.*=pool2");
    }

    #[test]
    fn a_plan_may_have_epochs_of_its_own() {
        let study = Study::parse(TEXT).unwrap();
        let epochs: Vec<u64> = study.plans.iter().map(|plan| study.epochs_of(plan)).collect();
        assert_eq!(epochs, [2, 2, 3]);
    }

    #[test]
    fn group_sizes_of_auxiliary_activations_join_the_plan() {
        let plan = |entry: &str| {
            Study::parse(&TEXT.replace("\"pool4\"", entry)).map(|study| study.plans[1].spec.clone())
        };
        assert_eq!(plan("{ ara = [3, 2, 2, 1] }").unwrap(), "ara=3:2:2:1");
        assert_eq!(plan("{ plan = \"pool2\", ara = [2, 2] }").unwrap(), "pool2,ara=2:2");
        assert!(plan("{ ara = [] }").is_err());
    }

    #[test]
    fn a_plan_on_several_lines_is_the_one_on_one_line() {
        for entry in [
            "\"\"\"\nconv=q4,\n  fc=q8\"\"\"",
            "{ plan = \"\"\"\nconv=q4,\nfc=q8\n\"\"\", epochs = 2 }",
        ] {
            let study = Study::parse(&TEXT.replace("\"pool4\"", entry)).unwrap();
            assert_eq!(study.plans[1].spec, "conv=q4,fc=q8");
        }
    }

    #[test]
    fn a_scale_is_a_factor_on_all_epochs_and_part_of_the_hash() {
        let study = |factor| Study::parse(TEXT).unwrap().scaled(factor).unwrap();
        let epochs =
            |study: &Study| study.plans.iter().map(|p| study.epochs_of(p)).collect::<Vec<_>>();
        assert_eq!(epochs(&study(2.0)), [4, 4, 6]);
        assert_eq!(epochs(&study(1.5)), [3, 3, 5]);
        assert_eq!(epochs(&study(0.01)), [1, 1, 2], "the longer schedule stays longer");
        let hash = |study: Study| study.hash(&study.plans[0], 0).unwrap();
        assert_eq!(hash(study(1.0)), hash(Study::parse(TEXT).unwrap()));
        assert_ne!(hash(study(2.0)), hash(study(1.0)));
        let error = Study::parse(TEXT).unwrap().scaled(4e5).unwrap_err().to_string();
        assert!(error.contains("with a scale of 400000, plans.a.epochs: 1200000"), "{error}");
    }

    #[test]
    fn the_hash_covers_what_determines_the_records_and_nothing_else() {
        let hash = |text: &str| {
            let study = Study::parse(text).unwrap();
            study.hash(&study.plans[0], study.seeds[0]).unwrap()
        };
        let expected = hash(TEXT);
        assert_eq!(expected.len(), 64);
        for same in [
            TEXT.replace("A title", "Another"),
            TEXT.replace("[0, 1]", "[0]"),
            TEXT.replace("b = \"pool4\"", ""),
            TEXT.replace("none = \"none\"", "none = { plan = \"none\" }"),
            TEXT.replace("none = \"none\"", "none = { plan = \"none\", epochs = 2 }"),
            TEXT.replace("batch = 8", "batch = 8 # a comment\nthreads = 2"),
            TEXT.replace("batch = 8", "batch = 8\ndevice = \"auto\""),
            TEXT.replace("batch = 8", "batch = 8\ndrop_last = false"),
            TEXT.replace("batch = 8", "batch = 8\nprecision = \"f32\""),
        ] {
            assert_eq!(hash(&same), expected, "{same}");
        }
        for other in [
            TEXT.replace("epochs = 2", "epochs = 3"),
            TEXT.replace("[0, 1]", "[1]"),
            TEXT.replace("none = \"none\"", "none = \"pool3\""),
            TEXT.replace("none = \"none\"", "none = { plan = \"none\", epochs = 3 }"),
            TEXT.replace("resnet18", "resnet20"),
            TEXT.replace("0.1", "0.2"),
            TEXT.replace("\"digits\"", "\"digits\"\nsize = 16"),
            TEXT.replace("batch = 8", "batch = 8\ndrop_last = true"),
            TEXT.replace("batch = 8", "batch = 8\nprecision = \"bf16\""),
            format!("{TEXT}\n[probe]\nevery = 5"),
        ] {
            assert_ne!(hash(&other), expected, "{other}");
        }
    }

    #[test]
    fn an_adaptive_plan_takes_its_codecs_from_the_study() {
        let moving = "{ adaptive = { every = \"1 epoch\", budget = \"0.3x\" }, epochs = 4 }";
        let text = TEXT.replace("\"pool4\"", moving);
        let error = Study::parse(&text).unwrap_err();
        assert!(error.starts_with("plans.b.adaptive.codecs: missing"), "{error}");
        let table = |codec: &str| format!("{text}\n[sensitivity]\ncodecs = [\"{codec}\"]");
        let study = |codec| Study::parse(&table(codec)).unwrap();
        let plan = &study("q2").plans[1];
        assert_eq!(plan.spec, "adaptive every 1 epoch within 0.3x");
        assert_eq!(study("q2").epochs_of(plan), 4);
        assert!(study("q2").adaptation_of(&study("q2").plans[0]).unwrap().is_none());
        let hash = |study: Study| study.hash(&study.plans[1], 0).unwrap();
        assert_ne!(hash(study("q2")), hash(study("q4")), "its codecs are part of its run");
        let settings = study("q2").settings(plan, 0).unwrap();
        assert_eq!(settings["adaptive"]["every"], "1 epoch");
        assert_eq!(settings["adaptive"]["codecs"][0], "q2");
        let both = TEXT.replace("\"pool4\"", &moving.replace("epochs", "plan = \"q2\", epochs"));
        let error = Study::parse(&both).unwrap_err();
        assert!(error.contains("`q2` and `adaptive` given"), "{error}");
        let slip = Study::parse(&text.replace("budget", "budgets")).unwrap_err();
        assert!(slip.contains("did you mean `budget`?"), "{slip}");
    }

    #[test]
    fn a_fault_names_its_key() {
        let fault = |from: &str, to: &str| Study::parse(&TEXT.replacen(from, to, 1)).unwrap_err();
        assert!(fault("none =", "\"a/b\" =").starts_with("plans.a/b: "));
        assert!(fault("[0, 1]", "[]").starts_with("seeds: is empty"));
        assert!(fault("\"study\"", "\" \"").starts_with("name: is empty"));
        assert!(fault("epochs = 3", "epochs = 0").starts_with("plans.a.epochs: 0 given"));
        assert!(fault("epochs = 3", "epochs = 1000001").contains("expected at most 1000000"));
        let most = fault("epochs = 2", &format!("epochs = {}", i64::MAX));
        assert!(most.contains("epochs: 9223372036854775807 given, expected at most"), "{most}");
        let unknown = fault("epochs = 3", "epoch = 3");
        assert!(unknown.contains("did you mean `epochs`?"), "{unknown}");
        let missing = fault("plan = \"layer1.*=pool2\", ", "");
        assert!(missing.contains("missing field `plan`"), "{missing}");
        let number = fault("\"pool4\"", "4");
        assert!(number.contains("a plan, as in"), "{number}");
        let unknown = fault("learning_rate", "learn_rate");
        assert!(unknown.contains("did you mean `learning_rate`?"), "{unknown}");
    }
}
