//! What a study measures of single layers: its `[sensitivity]` table.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::{Fault, LayerKind, Selector};

/// What to measure: each codec at each layer, all other layers exact.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SensitivitySpec {
    /// The codecs, each at its level: `["q8", "q2", "pool2", "hosvd:0.8"]`. A layer that a codec cannot
    /// pack is measured without it.
    pub codecs: Vec<String>,
    /// The layers: names, patterns such as `layer3.*`, or kinds such as `conv`. All by default.
    #[serde(default = "all")]
    pub layers: Vec<String>,
    /// The layers among them that are left exact, selected likewise.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub except: Vec<String>,
    /// The points of an exact training at which to measure.
    #[serde(default = "at_the_start")]
    pub points: Vec<Point>,
    /// How many batches each codec is tried on; intervals come from them and from the study's seeds.
    #[serde(default = "four")]
    pub batches: u64,
    /// How many times a codec packs each batch, with other random numbers, to tell bias from variance,
    /// which takes 2.
    #[serde(default = "twice")]
    pub draws: u64,
    /// After how many updates with each codec at each layer the loss is compared with that after exact
    /// ones. Not at all by default, since it takes as many steps of training for each score.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub horizon: Option<u64>,
    /// Whether each codec is also measured at all layers but one. That takes a pass for each layer, unless the
    /// codec changes nothing but the gradients of its layers' own weights; then it follows from the others.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub one_off: bool,
}

/// A point of a training: the share of its steps that are done.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd)]
pub struct Point(f64);

fn all() -> Vec<String> {
    vec!["default".into()]
}

fn at_the_start() -> Vec<Point> {
    vec![Point::START]
}

fn four() -> u64 {
    4
}

fn twice() -> u64 {
    2
}

impl SensitivitySpec {
    /// The most batches, draws and updates; a larger number is taken for a typing error.
    pub const MOST: u64 = 10_000;

    /// These codecs at the layers of another table, or at all.
    pub(crate) fn of(codecs: Vec<String>, table: Option<&Self>) -> Self {
        Self {
            codecs,
            layers: table.map_or_else(all, |table| table.layers.clone()),
            except: table.map_or_else(Vec::new, |table| table.except.clone()),
            points: at_the_start(),
            batches: four(),
            draws: twice(),
            horizon: None,
            one_off: false,
        }
    }

    /// Whether a layer is one of those to measure.
    pub fn includes(&self, layer: &str, kind: LayerKind) -> bool {
        let any = |selectors: &[String]| {
            selectors.iter().any(|s| Selector::from(s.as_str()).matches(layer, kind).is_some())
        };
        any(&self.layers) && !any(&self.except)
    }

    /// Checks all values except the codecs, whose names the crates above know.
    ///
    /// # Errors
    /// Returns the first value that is not valid.
    pub fn check(&self) -> Result<(), Fault> {
        if self.codecs.is_empty() {
            let example = "is empty; give at least one, as in `codecs = [\"q8\", \"q2\"]`";
            return Err(Fault::new("codecs", example));
        }
        if let Some(twice) = first_twice(&self.codecs) {
            return Err(Fault::new("codecs", format!("`{twice}` stands there twice")));
        }
        if self.layers.is_empty() {
            let reason = "is empty; leave it out to measure all layers, or name some";
            return Err(Fault::new("layers", reason));
        }
        if self.points.is_empty() {
            let example = "is empty; give at least one, as in `points = [\"start\", 0.1, \"end\"]`";
            return Err(Fault::new("points", example));
        }
        if let Some(pair) = self.points.windows(2).find(|pair| pair[0] >= pair[1]) {
            let reason = format!("{} does not lie before {}", pair[0], pair[1]);
            return Err(Fault::new("points", reason));
        }
        Fault::unless_within("batches", self.batches, 1..=Self::MOST)?;
        Fault::unless_within("draws", self.draws, 1..=Self::MOST)?;
        self.horizon
            .map_or(Ok(()), |updates| Fault::unless_within("horizon", updates, 1..=Self::MOST))
    }
}

/// The first value that an earlier one equals.
fn first_twice(values: &[String]) -> Option<&String> {
    values.iter().enumerate().find(|(i, value)| values[..*i].contains(value)).map(|(_, v)| v)
}

impl Point {
    /// Before the first step.
    pub const START: Point = Point(0.0);
    /// After the last one.
    pub const END: Point = Point(1.0);

    /// The share of the steps that are done, from 0 to 1.
    pub fn share(self) -> f64 {
        self.0
    }

    /// The number of steps, of `total`, that are done.
    pub fn step(self, total: u64) -> u64 {
        (self.0 * total as f64).round() as u64
    }
}

impl fmt::Display for Point {
    /// `start`, `end`, or the share in percent.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Point::START => f.write_str("start"),
            Point::END => f.write_str("end"),
            Point(share) => write!(f, "{} %", (share * 1e6).round() / 1e4),
        }
    }
}

impl Serialize for Point {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match *self {
            Point::START => serializer.serialize_str("start"),
            Point::END => serializer.serialize_str("end"),
            Point(share) => serializer.serialize_f64(share),
        }
    }
}

impl<'de> Deserialize<'de> for Point {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Written {
            Word(String),
            Share(f64),
        }
        let expected = "expected \"start\", \"end\" or a share of the training such as 0.1";
        match Written::deserialize(deserializer).map_err(|_| de::Error::custom(expected))? {
            Written::Word(word) if word == "start" => Ok(Point::START),
            Written::Word(word) if word == "end" => Ok(Point::END),
            Written::Word(word) => Err(de::Error::custom(format!("`{word}` given, {expected}"))),
            Written::Share(share) if (0.0..=1.0).contains(&share) => Ok(Point(share)),
            Written::Share(share) => Err(de::Error::custom(format!("{share} given, {expected}"))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<SensitivitySpec, String> {
        let spec: SensitivitySpec = toml::from_str(text).map_err(|e| e.to_string())?;
        spec.check().map_err(|fault| fault.to_string())?;
        Ok(spec)
    }

    #[test]
    fn only_the_codecs_have_to_be_given() {
        let spec = read("codecs = [\"q2\"]").unwrap();
        assert_eq!((spec.points.as_slice(), spec.batches, spec.draws), (&[Point::START][..], 4, 2));
        assert!(spec.includes("layer1.0.conv1", LayerKind::Conv));
    }

    #[test]
    fn layers_are_selected_by_name_pattern_and_kind_with_exceptions() {
        let text = r#"
            codecs = ["q2"]
            layers = ["layer1.*", "linear"]
            except = ["layer1.0.conv2", "norm"]
        "#;
        let spec = read(text).unwrap();
        for (layer, kind, included) in [
            ("layer1.0.conv1", LayerKind::Conv, true),
            ("layer1.0.conv2", LayerKind::Conv, false),
            ("layer1.0.bn1", LayerKind::Norm, false),
            ("layer2.0.conv1", LayerKind::Conv, false),
            ("fc", LayerKind::Linear, true),
        ] {
            assert_eq!(spec.includes(layer, kind), included, "{layer}");
        }
    }

    #[test]
    fn points_are_words_and_shares_in_order() {
        let spec = read("codecs = [\"q2\"]\npoints = [\"start\", 0.1, \"end\"]").unwrap();
        let steps: Vec<u64> = spec.points.iter().map(|point| point.step(120)).collect();
        assert_eq!(steps, [0, 12, 120]);
        let shown: Vec<String> = spec.points.iter().map(Point::to_string).collect();
        assert_eq!(shown, ["start", "10 %", "end"]);
        let json = serde_json::to_string(&spec.points).unwrap();
        assert_eq!(json, r#"["start",0.1,"end"]"#);
        assert_eq!(serde_json::from_str::<Vec<Point>>(&json).unwrap(), spec.points);
    }

    #[test]
    fn what_is_not_valid_is_named() {
        for (text, expected) in [
            ("codecs = []", "codecs: is empty"),
            ("codecs = [\"q2\", \"q2\"]", "codecs: `q2` stands there twice"),
            ("codecs = [\"q2\"]\nlayers = []", "layers: is empty"),
            ("codecs = [\"q2\"]\npoints = [0.5, 0.1]", "points: 50 % does not lie before 10 %"),
            ("codecs = [\"q2\"]\npoints = [1.5]", "1.5 given, expected \"start\""),
            ("codecs = [\"q2\"]\npoints = [\"middle\"]", "`middle` given, expected \"start\""),
            ("codecs = [\"q2\"]\nbatches = 0", "batches: 0 given, expected 1 to 10000"),
            ("codecs = [\"q2\"]\ndraws = 0", "draws: 0 given, expected 1 to 10000"),
            ("codecs = [\"q2\"]\nhorizon = 0", "horizon: 0 given, expected 1 to 10000"),
        ] {
            let error = read(text).unwrap_err();
            assert!(error.contains(expected), "{text}: {error}");
        }
    }
}
