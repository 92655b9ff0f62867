//! What a study refuses, and what it says.

#![allow(clippy::unwrap_used)]

mod common;

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use common::{
    RUNS, STUDY, finished_study, images, packlight, records, run, stderr, study, study_of_images,
};

/// Asserts that `packlight run` ends with 1, says `words`, and trains nothing.
fn refused(dir: &Path, words: &[&str]) {
    let output = run(dir);
    let said = stderr(&output);
    assert_eq!(output.status.code(), Some(1), "{said}");
    for word in words {
        assert!(said.contains(word), "`{word}` is missing in: {said}");
    }
}

#[test]
fn a_study_that_makes_no_sense_is_refused_with_a_reason() {
    for (from, to, words) in [
        ("epochs = 3", "epoch = 3", &["unknown field `epoch`", "did you mean `epochs`?"][..]),
        ("width = 4", "widht = 4", &["did you mean `width`?"]),
        ("momentum", "momemtum", &["did you mean `momentum`?"]),
        ("every = 5", "evry = 5", &["did you mean `every`?"]),
        ("\"resnet18\"", "\"resnet81\"", &["did you mean `resnet18`?"]),
        ("\"digits\"", "\"digit\"", &["did you mean", "digits"]),
        ("\"pool2\"", "\"pull2\"", &["plans.pool2", "unknown codec `pull2`", "pool<k>"]),
        ("\"pool2\"", "{ plan = \"pool2\", epoch = 4 }", &["did you mean `epochs`?"]),
        ("\"pool2\"", "{ plan = \"pool2\", epochs = 0 }", &["plans.pool2.epochs: 0 given"]),
        (
            "\"layer1.*=none,default=pool4\"",
            "{ plan = \"pool4\", from = \"pol2\" }",
            &["plans.mixed.from: `pol2` given, expected a plan that stands above: pool2"],
        ),
        (
            "\"pool2\"",
            "{ plan = \"pool2\", from = \"mixed\" }",
            &["plans.pool2.from: `mixed` given, but no plan stands above this one"],
        ),
        ("layer1.*", "layer7.*", &["plan mixed", "layer1.0.conv1"]),
        ("epochs = 3", "epochs = 0", &["epochs: 0 given, expected at least 1"]),
        ("batch = 32", "batch = 0", &["batch: 0 given"]),
        ("threads = 2", "threads = 60000", &["threads: 60000 given, expected 1 to 1024"]),
        ("batch = 32", "batch = 121", &["batch: 121 given", "digits has 120 training samples"]),
        ("\"pool2\"", "\"pool2,pool4\"", &["plans.pool2", "are both the default", "layer3.*="]),
        ("layer1.*", "layer1", &["did you mean `layer1.*`?"]),
        ("seeds = [7]", "seeds = [7, 7]", &["seeds: 7 stands there twice"]),
        ("seeds = [7]", "seeds = [-1]", &["-1"]),
        ("0.05", "nan", &["optimizer.learning_rate: NaN given"]),
        ("momentum = 0.9", "momentum = 1.5", &["optimizer.momentum: 1.5 given"]),
        ("every = 5", "every = 1", &["probe.every: 1 given, expected at least 2"]),
        ("warmup = 0.1", "warmup = 2.0", &["schedule", "warmup"]),
        ("pool2 =", "\"../out\" =", &["plans.../out", "folder's name"]),
        ("title = \"A study for tests\"", "", &["missing field `title`"]),
    ] {
        assert!(STUDY.contains(from), "{from}");
        let dir = study(&STUDY.replacen(from, to, 1));
        refused(dir.path(), &[words, &["study"]].concat());
        assert!(!dir.path().join("runs").exists());
    }
}

#[test]
fn a_folder_without_a_study_is_named() {
    let dir = tempfile::tempdir().unwrap();
    refused(dir.path(), &["holds no study.toml; give the folder of a study"]);
}

#[test]
fn weights_to_start_from_that_are_another_model_s_are_told_by_what_differs() {
    let first = finished_study();
    let weights = first.path().join("runs").join(RUNS[0]).join("weights.safetensors");
    let text = STUDY.replace("[model]", &format!("weights = \"{}\"\n[model]", weights.display()));
    refused(
        study(&text.replace("width = 4", "width = 8")).path(),
        &["these are the weights of another model (width: 4 there, 8 here)", "the tensor `"],
    );
    assert!(run(study(&text).path()).status.success());
}

#[test]
fn what_is_no_folder_of_a_study_is_told_what_was_probably_meant() {
    let dir = tempfile::tempdir().unwrap();
    let at = |path: &str| dir.path().join(path).display().to_string();
    for name in ["digits", "letters"] {
        std::fs::create_dir_all(at(&format!("{name}/runs"))).unwrap();
        std::fs::write(at(&format!("{name}/study.toml")), STUDY).unwrap();
    }
    for command in ["run", "report"] {
        let meant = |name: &str| format!("packlight {command} {}", at(name));
        for (given, words) in [
            ("digits/study.toml", &["is a file; give its folder: ", &meant("digits")][..]),
            ("digits/runs/none", &["no such folder; give its folder: ", &meant("digits")]),
            ("nowhere/at/all", &["no such folder; give the folder of a study"]),
            ("digit", &["no such folder; give the folder of a study: ", &meant("digits")]),
            ("", &["holds no ", "such as ", &at("digits"), &at("letters")]),
        ] {
            let output = packlight([command, &at(given)]).output().unwrap();
            let said = stderr(&output);
            assert_eq!(output.status.code(), Some(1), "{said}");
            words.iter().for_each(|word| assert!(said.contains(word), "`{word}`: {said}"));
        }
    }
}

#[test]
fn a_folder_of_images_belongs_to_its_study_and_says_what_it_lacks() {
    let dir = study_of_images(); // whose path is relative to the study, not to the working directory
    let done = run(dir.path());
    assert!(done.status.success(), "{}", stderr(&done));
    let text = std::fs::read_to_string(dir.path().join("study.toml")).unwrap();

    let without_size = study(&text.replace("size = 16", ""));
    images(&without_size.path().join("images"));
    refused(without_size.path(), &["data.size: a folder of images needs", "`size = 64`"]);
    let layout = "train/CLASS/*.png and test/CLASS/*.png";
    let nowhere = study(&text);
    refused(nowhere.path(), &["/images: ", layout, "found: No such file", "the study's folder"]);
    std::fs::create_dir_all(nowhere.path().join("images/cats")).unwrap();
    refused(nowhere.path(), &[layout, "found: cats/"]);
}

#[test]
fn a_changed_study_or_changed_data_is_not_mixed_with_what_was_begun() {
    let dir = finished_study();
    let before = records(dir.path());
    let change = |from, to| {
        std::fs::write(dir.path().join("study.toml"), STUDY.replacen(from, to, 1)).unwrap();
    };

    change("0.05", "0.06");
    let words =
        "the study changed since this run was begun (optimizer.learning_rate: 0.05 then, 0.06 now)";
    refused(dir.path(), &[words, RUNS[0], "--overwrite"]);
    change("size = 16", "size = 24\nchannels = 3");
    refused(dir.path(), &["(data.channels: not given then, 3 now; data.size: 16 then, 24 now)"]);
    change("epochs = 3", "epochs = 4");
    refused(dir.path(), &["(epochs: 3 then, 4 now)"]);
    change("", "");
    let scaled = packlight(["run", "--scale", "2"]).arg(dir.path()).output().unwrap();
    assert!(stderr(&scaled).contains("(--scale: 1 then, 2 now)"), "{}", stderr(&scaled));
    change("threads = 2", "threads = 1");
    assert!(run(dir.path()).status.success(), "threads change no record");
    assert!(records(dir.path()) == before);

    change("", "");
    let manifest = dir.path().join("runs").join(RUNS[1]).join("manifest.json");
    let text = std::fs::read_to_string(&manifest).unwrap();
    let hash = serde_json::from_str::<serde_json::Value>(&text).unwrap()["data_hash"].clone();
    std::fs::write(&manifest, text.replace(hash.as_str().unwrap(), "0123")).unwrap();
    let hash = &hash.as_str().unwrap()[..12];
    let words = format!("(the samples of `digits` are others: SHA-256 0123 then, {hash} now)");
    refused(dir.path(), &["the data changed", RUNS[1], &words]);

    // A run of a version that did not write its settings down.
    let mut older = serde_json::from_str::<serde_json::Value>(&text).unwrap();
    older.as_object_mut().unwrap().remove("settings").unwrap();
    std::fs::write(&manifest, older.to_string()).unwrap();
    assert!(run(dir.path()).status.success());
    change("mixed = \"layer1.*=none,", "mixed = \"layer2.*=none,");
    refused(dir.path(), &["the study changed", &older["study_hash"].as_str().unwrap()[..12]]);
}

#[test]
fn a_run_that_starts_from_another_names_the_key_that_changed() {
    let from = "{ plan = \"pool4\", from = \"pool2\" }";
    let text = STUDY.replace("\"layer1.*=none,default=pool4\"", from);
    let dir = study(&text);
    assert!(run(dir.path()).status.success());
    let change = |from, to| {
        std::fs::write(dir.path().join("study.toml"), text.replacen(from, to, 1)).unwrap();
        std::fs::remove_dir_all(dir.path().join("runs").join(RUNS[0])).unwrap();
    };
    change("0.05", "0.06");
    refused(dir.path(), &["(optimizer.learning_rate: 0.05 then, 0.06 now)"]);
    std::fs::create_dir(dir.path().join("runs").join(RUNS[0])).unwrap();
    change("pool2 = \"pool2\"", "pool2 = \"none\"");
    refused(dir.path(), &[RUNS[1], "(it starts from other weights)"]);
}

#[test]
fn finished_runs_are_left_alone_unless_they_are_to_be_overwritten() {
    let dir = finished_study();
    let log = dir.path().join("runs").join(RUNS[0]).join("measurements.jsonl");
    let written = || std::fs::metadata(&log).unwrap().modified().unwrap();
    let (first, expected) = (written(), records(dir.path()));
    let again = run(dir.path());
    assert!(stderr(&again).contains("skipped: it is finished"), "{}", stderr(&again));
    assert_eq!(written(), first);
    let anew = packlight(["run", "--overwrite"]).arg(dir.path()).output().unwrap();
    assert!(anew.status.success());
    assert!(written() > first);
    assert!(records(dir.path()) == expected);
}

#[test]
fn a_second_process_is_refused_while_the_first_one_runs() {
    let dir = study(&STUDY.replace("epochs = 3", "epochs = 500"));
    let mut first = packlight(["run"])
        .arg(dir.path())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    while !dir.path().join("runs").exists() {
        std::thread::sleep(Duration::from_millis(5));
    }
    refused(dir.path(), &["another packlight is running this study"]);
    first.kill().unwrap();
    first.wait().unwrap();
}

#[test]
fn a_damaged_checkpoint_fails_its_run_and_the_others_go_on() {
    let dir = finished_study();
    let folder = dir.path().join("runs").join(RUNS[0]);
    let expected = records(dir.path());
    let manifest = std::fs::read_to_string(folder.join("manifest.json")).unwrap();
    std::fs::write(
        folder.join("manifest.json"),
        manifest.replace("\"finished\"", "\"unfinished\""),
    )
    .unwrap();
    let checkpoint = folder.join("checkpoint.safetensors");
    let bytes = std::fs::read(&checkpoint).unwrap();
    std::fs::write(&checkpoint, &bytes[..bytes.len() / 2]).unwrap();
    let output = run(dir.path());
    assert_eq!(output.status.code(), Some(3), "{}", stderr(&output));
    assert!(stderr(&output).contains("checkpoint.safetensors: the checkpoint cannot be used"));
    assert!(std::fs::read_to_string(folder.join("manifest.json")).unwrap().contains("failed"));

    std::fs::remove_file(&checkpoint).unwrap();
    assert!(run(dir.path()).status.success(), "as the message advises");
    assert!(records(dir.path()) == expected);
}

#[test]
fn a_finished_run_whose_records_lost_their_end_is_no_finished_run() {
    let dir = finished_study();
    let folder = dir.path().join("runs").join(RUNS[0]);
    let (log, whole) = (folder.join("records.jsonl"), records(dir.path()));
    let text = String::from_utf8(whole[0].clone()).unwrap();
    let end = text.find("{\"type\":\"epoch\"").unwrap();
    let end = end + text[end..].find('\n').unwrap() + 1;
    for cut in [&text[..end], ""] {
        std::fs::write(&log, cut).unwrap();
        let output = run(dir.path());
        assert_eq!(output.status.code(), Some(3), "{}", stderr(&output));
        let said = stderr(&output);
        assert!(
            said.contains("pool2-seed7") && said.contains("the record of its end is missing"),
            "{said}"
        );
        assert_eq!(std::fs::read_to_string(&log).unwrap(), cut, "nothing is changed");
    }
    std::fs::remove_dir_all(&folder).unwrap();
    assert!(run(dir.path()).status.success(), "as the message advises");
    assert!(records(dir.path()) == whole);
}

#[test]
fn a_run_that_diverges_is_recorded_and_the_others_go_on() {
    let dir = study(&STUDY.replace("0.05", "1e30"));
    let output = run(dir.path());
    assert_eq!(output.status.code(), Some(3), "{}", stderr(&output));
    let (said, layer) = (stderr(&output), "mixed-seed7: failed: layer `bn1`: batch_norm: ");
    assert!(said.contains(layer) && said.contains("not finite"), "{said}");
    for records in records(dir.path()) {
        let text = String::from_utf8(records).unwrap();
        assert!(text.lines().last().unwrap().contains("\"type\":\"diverged\""), "{text}");
    }
    let again = run(dir.path());
    assert_eq!(again.status.code(), Some(3));
    assert!(stderr(&again).contains("skipped"), "{}", stderr(&again));
}

#[test]
fn images_that_are_not_square_are_refused_for_models_that_need_square_ones() {
    let data = tempfile::tempdir().unwrap();
    let folder = data.path().join("mnist");
    std::fs::create_dir(&folder).unwrap();
    for part in ["train", "t10k"] {
        let images = [&[0, 0, 8, 3, 0, 0, 0, 2, 0, 0, 0, 8, 0, 0, 0, 4][..], &[7; 64]].concat();
        std::fs::write(folder.join(format!("{part}-images-idx3-ubyte")), images).unwrap();
        let labels = [0, 0, 8, 1, 0, 0, 0, 2, 3, 9];
        std::fs::write(folder.join(format!("{part}-labels-idx1-ubyte")), labels).unwrap();
    }
    let weights = data.path().join("weights");
    packlight::nn::weights::write(&weights, &Default::default()).unwrap();
    for model in ["mlp", "vit", "mixer"] {
        let text = STUDY.replace("digits", "mnist").replace("size = 16", "");
        let model_table = format!("name = \"{model}\"");
        let dir = study(&text.replace("name = \"resnet18\"\nwidth = 4", &model_table));
        let mut run = packlight(["run"]);
        run.arg(dir.path());
        let mut eval = packlight(["eval", "--model", model, "--data", "mnist"]);
        eval.args(["--normalise", "data", "--weights"]).arg(&weights);
        for mut command in [run, eval] {
            let output = command.arg("--data-dir").arg(data.path()).output().unwrap();
            let words = format!("{model} takes square images, and those of mnist are 8 x 4");
            assert_eq!(output.status.code(), Some(1));
            assert!(stderr(&output).contains(&words), "{}", stderr(&output));
        }
        assert!(!dir.path().join("runs").exists());
    }
}

#[test]
fn a_command_line_that_makes_no_sense_ends_with_2() {
    for arguments in [
        &["run"][..],
        &["fly"],
        &["run", "x", "--threads", "0"],
        &["run", "x", "--threads", "1025"],
        &["codecs", "--jsno"],
    ] {
        let output = packlight(arguments).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
    }
}

#[test]
fn a_model_that_does_not_exist_or_has_no_such_option_is_refused_with_what_does() {
    for (arguments, words) in [
        (&["--model", "resnet81"][..], &["`resnet81`", "did you mean `resnet18`?"][..]),
        (&["--model", "mlp", "--heads", "2"], &["heads: mlp has no such option, it has hidden"]),
        (&["--model", "vit", "--width", "wide"], &["--width wide: a whole number expected"]),
        (&["--model", "vit", "--width", "-1"], &["width: ", "-1"]),
        (&["--model", "mlp", "--hidden", "8,x"], &["--hidden 8,x: a whole number expected"]),
        (&["--model", "resnet18", "--stem", "imagnet"], &["stem", "did you mean `imagenet`?"]),
        (&["--model", "transformer", "--dropout", "1"], &["dropout: 1 given, expected 0 <="]),
        (&["--width", "8"], &["--model <NAME>"]),
    ] {
        let output = packlight(["plans"]).args(arguments).output().unwrap();
        let said = stderr(&output);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {said}");
        for word in words {
            assert!(said.contains(word), "`{word}` is missing in: {said}");
        }
    }
}

#[test]
fn the_help_has_every_model_s_options_with_their_defaults() {
    let output = packlight(["plans", "--help"]).output().unwrap();
    let help = String::from_utf8(output.stdout).unwrap();
    let help = help.split_whitespace().collect::<Vec<_>>().join(" ");
    for words in [
        "The model: resnet18, resnet34, resnet50, resnet101, resnet152, resnet20, resnet56, \
         mobilenet_v2, efficientnet_b0, mcunet, mlp, vit, swin, mixer, transformer, gpt, bert",
        "--width <VALUE> Channels of the first stage [resnet18: 64, resnet34: 64, resnet50: 64, \
         resnet101: 64, resnet152: 64, resnet20: 16, resnet56: 16]; Channels of the first layer, to which \
         all others are in proportion [mobilenet_v2: 32, efficientnet_b0: 32, mcunet: 16]; Features of a token \
         [vit: 192, mixer: 512, transformer: 512, gpt: 768, bert: 768]",
        "--hidden <VALUE> Sizes of the hidden layers, as in 128,64 [mlp: 128]",
        "[resnet18: cifar, resnet34: cifar, resnet50: cifar, resnet101: cifar, resnet152: cifar, \
         mobilenet_v2: cifar, efficientnet_b0: cifar, mcunet: cifar]",
        "--dropout <VALUE> Share of the features that training drops [mobilenet_v2: 0.2, \
         efficientnet_b0: 0.2, transformer: 0.1]",
    ] {
        assert!(help.contains(words), "`{words}` is missing in: {help}");
    }
}

#[test]
#[cfg(not(feature = "cuda"))]
fn a_card_that_is_not_there_is_refused_and_auto_says_what_it_takes() {
    let on =
        |device: &str| STUDY.replace("threads = 2", &format!("threads = 2\ndevice = \"{device}\""));
    let dir = study(&on("cuda"));
    refused(dir.path(), &["built without CUDA", "`--features cuda`", "`--device cpu`"]);
    assert!(!dir.path().join("runs").exists());
    refused(study(&on("gpu")).path(), &["unknown variant `gpu`", "`auto`"]);
    let in_bf16 = STUDY.replace("threads = 2", "threads = 2\nprecision = \"bf16\"");
    refused(study(&in_bf16).path(), &["the processor computes in f32", "`device = \"cuda\"`"]);
    let dir = finished_study();
    let output = packlight(["run", "--device", "auto"]).arg(dir.path()).output().unwrap();
    let said = stderr(&output);
    assert!(output.status.success() && said.contains("device auto is the processor"), "{said}");
}

#[test]
#[cfg(not(feature = "cuda"))]
fn commands_without_a_study_compute_where_they_are_told_to() {
    let study = finished_study();
    let weights = study.path().join("runs").join(RUNS[0]);
    let eval = |device: &str| {
        let output =
            packlight(["eval", "--device", device, "--run"]).arg(&weights).output().unwrap();
        (output.status.code(), String::from_utf8(output.stdout.clone()).unwrap(), stderr(&output))
    };
    let (auto, cpu, cuda) = (eval("auto"), eval("cpu"), eval("cuda"));
    assert!(auto.2.contains("device auto is the processor"), "{}", auto.2);
    assert_eq!((auto.0, auto.1, cpu.2.as_str()), (Some(0), cpu.1, ""));
    assert_eq!(cuda.0, Some(1));
    assert!(cuda.2.contains("built without CUDA"), "{}", cuda.2);

    let answer = study.path().join("answer.safetensors");
    let grads = packlight(["grads", "--model", "resnet18", "--device", "cuda", "--input"])
        .arg(study.path().join("study.toml")) // looked at only where there is a device
        .arg("--output")
        .arg(&answer)
        .output()
        .unwrap();
    assert!(stderr(&grads).contains("built without CUDA"), "{}", stderr(&grads));
    assert!(!grads.status.success() && !answer.exists());
}
