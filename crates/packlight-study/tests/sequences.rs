//! Training from sequence to sequence, and on text.

#![allow(clippy::unwrap_used)]

mod common;

use std::sync::atomic::AtomicBool;

use common::{options, study};
use packlight_record::layout::RUNS;
use packlight_record::{Manifest, Record, read_log};
use packlight_study::{Options, Outcome, Silent, run_study};

const TEXT: &str = r#"
name = "backwards"
title = "Sequences said backwards"
seeds = [0]
epochs = 8
batch = 32

[model]
name = "transformer"
width = 32
depth = 1
heads = 2
dropout = 0.0

[data]
name = "reverse"
train_limit = 1024
test_limit = 128

[plans]
none = "none"
pooled = "attention=pool2,linear=pool2"

[optimizer]
name = "adamw"
learning_rate = 0.004
"#;

/// Test accuracy after each epoch of a run.
fn accuracies(dir: &std::path::Path, run: &str) -> Vec<f64> {
    let path = dir.join(RUNS).join(run).join("records.jsonl");
    let records = read_log::<Record>(&path).unwrap().values;
    let accuracy = |record: &Record| match record {
        Record::Epoch { test_accuracy, .. } => Some(*test_accuracy),
        _ => None,
    };
    records.iter().filter_map(accuracy).collect()
}

#[test]
fn a_transformer_learns_to_say_sequences_backwards() {
    let dir = study(TEXT);
    let interrupted = AtomicBool::new(false);
    let options = Options { threads: 2, ..options(&interrupted) };
    let summary = run_study(dir.path(), &options, &mut Silent).unwrap();
    assert!(summary.runs.iter().all(|run| run.outcome == Outcome::Finished));
    // One in sixteen symbols is right by chance, and so is the end mark where it can be counted.
    let exact = accuracies(dir.path(), "none-seed0");
    println!("{exact:?} {:?}", accuracies(dir.path(), "pooled-seed0"));
    assert!(exact[7] > 0.6 && exact[7] > exact[0], "{exact:?}");
    let manifest = Manifest::read(&dir.path().join(RUNS).join("none-seed0")).unwrap();
    assert_eq!(manifest.data, "reverse, sequences, vocabularies of 20 and 20");
    assert_eq!((manifest.train_samples, manifest.test_samples), (1024, 128));
}

const LANGUAGE: &str = r#"
name = "language"
title = "What comes next"
seeds = [0]
epochs = 3
batch = 4

[model]
name = "gpt"
width = 32
depth = 1
heads = 2
context = 16
dropout = 0.0

[data]
name = "text:own.txt"
length = 16

[plans]
none = "none"
packed = "default=q8"

[optimizer]
name = "adamw"
learning_rate = 0.01
"#;

#[test]
fn a_language_model_learns_a_text_and_its_perplexity_is_recorded() {
    let dir = study(LANGUAGE);
    std::fs::write(dir.path().join("own.txt"), "ein Satz, noch ein Satz. ".repeat(300)).unwrap();
    let interrupted = AtomicBool::new(false);
    let summary = run_study(dir.path(), &options(&interrupted), &mut Silent).unwrap();
    assert!(summary.runs.iter().all(|run| run.outcome == Outcome::Finished), "{summary:?}");
    for run in ["none-seed0", "packed-seed0"] {
        let path = dir.path().join(RUNS).join(run).join("records.jsonl");
        let records = read_log::<Record>(&path).unwrap().values;
        let losses = records.iter().filter_map(|record| match record {
            Record::Epoch { test_loss, test_perplexity, .. } => {
                Some((*test_loss, *test_perplexity))
            }
            _ => None,
        });
        let losses: Vec<_> = losses.collect();
        assert_eq!(losses.len(), 3);
        assert!(losses.iter().all(|(loss, perplexity)| *perplexity == Some(loss.exp())));
        // Of thirteen characters, nearly always the right one; chance would lose 2.6.
        assert!(losses[2].0 < 0.5, "{losses:?}");
        assert!(accuracies(dir.path(), run)[2] > 0.8);
    }
    let manifest = Manifest::read(&dir.path().join(RUNS).join("none-seed0")).unwrap();
    assert_eq!(manifest.data, "text:own.txt, text in windows of 16, vocabulary of 14");
}

const SENTIMENT: &str = r#"
name = "sentiment"
title = "Good or bad"
seeds = [0]
epochs = 3
batch = 16

[model]
name = "bert"
width = 16
depth = 1
heads = 2
context = 12
dropout = 0.0

[data]
name = "labelled:reviews"
length = 12

[plans]
none = "none"
signs = "asa2,attention=q8"

[optimizer]
name = "adamw"
learning_rate = 0.005
"#;

/// Lines of a class, a tab and a text, in which one word somewhere tells the class.
fn reviews(numbers: std::ops::Range<usize>) -> String {
    let other = ["the", "film", "was", "long", "and", "music", "in", "it"];
    let telling = [("bad", ["dull", "poor"]), ("good", ["fine", "great"])];
    let line = |number: usize| {
        let (class, words) = telling[number % 2];
        let length = 3 + number % 7;
        let word = |at: usize| match at == number / 2 % length {
            true => words[number / 4 % 2],
            false => other[(number * 5 + at * at * 3) % other.len()],
        };
        let text: Vec<&str> = (0..length).map(word).collect();
        format!("{class}\t{}\n", text.join(" "))
    };
    numbers.map(line).collect()
}

#[test]
fn a_classifier_of_texts_learns_their_classes() {
    let dir = study(SENTIMENT);
    let folder = dir.path().join("reviews");
    std::fs::create_dir(&folder).unwrap();
    std::fs::write(folder.join("train.tsv"), reviews(0..256)).unwrap();
    std::fs::write(folder.join("test.tsv"), reviews(256..320)).unwrap();
    let interrupted = AtomicBool::new(false);
    let summary = run_study(dir.path(), &options(&interrupted), &mut Silent).unwrap();
    assert!(summary.runs.iter().all(|run| run.outcome == Outcome::Finished), "{summary:?}");
    for run in ["none-seed0", "signs-seed0"] {
        let found = accuracies(dir.path(), run);
        assert!(found[2] > 0.9, "{run}: {found:?}");
    }
    let manifest = Manifest::read(&dir.path().join(RUNS).join("none-seed0")).unwrap();
    let said = "labelled:reviews, texts of at most 12 tokens, vocabulary of 16, 2 classes";
    assert_eq!(manifest.data, said);
    assert_eq!((manifest.train_samples, manifest.test_samples), (256, 64));
}

const TRANSLATION: &str = r#"
name = "translation"
title = "From German to English"
seeds = [0]
epochs = 6
batch = 16

[model]
name = "transformer"
width = 32
depth = 1
heads = 2
dropout = 0.0

[data]
name = "multi30k"

[plans]
none = "none"

[optimizer]
name = "adamw"
learning_rate = 0.005
"#;

/// Sentences in German and in English.
fn sentences(numbers: std::ops::Range<usize>) -> [String; 2] {
    let who = [("Ein Mann", "A man"), ("Eine Frau", "A woman"), ("Ein Hund", "A dog")];
    let does = [("sieht", "sees"), ("sucht", "looks for"), ("malt", "paints")];
    let what = [("den Ball", "the ball"), ("ein Haus", "a house"), ("Max' Boot", "Max's boat")];
    let how = [("", ""), (" im Park", " in the park"), (" heute", " today")];
    let parts = |n: usize| [who[n % 3], does[n / 3 % 3], what[n / 9 % 3], how[n / 27 % 3]];
    let side = |side: fn((&'static str, &'static str)) -> &'static str| {
        let line = |n: usize| {
            let [who, does, what, how] = parts(n).map(side);
            format!("{who} {does} {what}{how}.\n")
        };
        numbers.clone().map(line).collect::<String>()
    };
    [side(|pair| pair.0), side(|pair| pair.1)]
}

#[test]
fn translations_are_scored_by_bleu() {
    let (dir, data) = (study(TRANSLATION), tempfile::tempdir().unwrap());
    let folder = data.path().join("multi30k");
    std::fs::create_dir(&folder).unwrap();
    for (part, numbers) in [("train", 0..324), ("test_2016_flickr", 500..530)] {
        for (text, side) in sentences(numbers).iter().zip(["de", "en"]) {
            std::fs::write(folder.join(format!("{part}.{side}")), text).unwrap();
        }
    }
    let interrupted = AtomicBool::new(false);
    let options = Options { data_dir: Some(data.path().into()), ..options(&interrupted) };
    let summary = run_study(dir.path(), &options, &mut Silent).unwrap();
    assert!(summary.runs.iter().all(|run| run.outcome == Outcome::Finished), "{summary:?}");
    let path = dir.path().join(RUNS).join("none-seed0").join("records.jsonl");
    let records = read_log::<Record>(&path).unwrap().values;
    let scores: Vec<f64> = records
        .iter()
        .filter_map(|record| match record {
            Record::Epoch { test_bleu, .. } => Some(test_bleu.unwrap()),
            _ => None,
        })
        .collect();
    assert!(scores.len() == 6 && scores[5] > 90.0 && scores[0] < scores[5], "{scores:?}");
}
