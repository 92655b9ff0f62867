//! State dicts that `torch.save` wrote load as safetensors do, and no file of PyTorch's does harm.
//!
//! `fixtures/make_state_dicts.py` and `fixtures/make_transformers.py` write the files.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use candle_core::{DType, Device, Tensor};
use packlight_nn::model::{Gpt, Model, ModelSpec};
use packlight_nn::weights;

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name)
}

/// Types, shapes and values by name.
fn values(path: &Path) -> BTreeMap<String, (DType, Vec<usize>, Vec<f64>)> {
    let flat = |t: &Tensor| t.to_dtype(DType::F64)?.flatten_all()?.to_vec1::<f64>();
    let all = weights::read(path, &Device::Cpu).unwrap().into_iter();
    all.map(|(name, t)| (name, (t.dtype(), t.dims().to_vec(), flat(&t).unwrap()))).collect()
}

fn refused(path: &Path) -> String {
    weights::File::open(path).err().unwrap().to_string()
}

#[test]
fn both_forms_of_a_state_dict_are_read_as_safetensors_are() {
    let expected = values(&fixture("state_dict.safetensors"));
    assert_eq!(expected.len(), 9);
    for name in ["state_dict.pth", "state_dict_older.pth"] {
        assert_eq!(values(&fixture(name)), expected, "{name}");
        let file = weights::File::open(&fixture(name)).unwrap();
        assert_eq!(file.tensors()[..3], ["weight", "transposed", "slice"], "{name}");
        assert_eq!(file.origin(), None);
    }
    assert_eq!(expected["transposed"].1, [6, 4]);
    assert_eq!(expected["num_batches_tracked"], (DType::I64, vec![], vec![-7.0]));
}

#[test]
fn a_state_dict_is_found_among_what_a_training_script_saves() {
    let found = values(&fixture("checkpoint.pth"));
    assert_eq!(found.len(), 1);
    assert_eq!(found["weight"].1, [2, 6]);
    assert_eq!(found["weight"].2[11], 11.0);
}

#[test]
fn a_model_loads_from_a_state_dict_with_its_tied_head() {
    let options = Gpt { width: 8, depth: 2, heads: 2, context: 6, ..Gpt::default() };
    let spec = ModelSpec::new(options).for_text(11).unwrap();
    let model = Model::new(&spec, 1, DType::F32, &Device::Cpu).unwrap();
    let file = weights::File::open(&fixture("gpt.bin")).unwrap();
    assert!(file.tensors().contains(&"lm_head.weight".to_owned()));
    model.load(&file).unwrap();
    let expected = weights::read(&fixture("gpt.safetensors"), &Device::Cpu).unwrap();
    for (name, var) in model.parameters().named() {
        let values = |t: &Tensor| t.flatten_all().unwrap().to_vec1::<f32>().unwrap();
        assert_eq!(values(var), values(&expected[&format!("param.{name}")]), "{name}");
    }
}

#[test]
fn what_would_run_code_is_refused_by_name_and_not_run() {
    for name in ["hostile.pth", "hostile_older.pth"] {
        let error = refused(&fixture(name));
        assert!(error.contains(name) && error.contains("`posix.system`"), "{error}");
        assert!(error.contains("only tensors are read; save the state dict alone"), "{error}");
    }
    assert!(!Path::new("hostile-was-here").exists());
    assert!(refused(&fixture("namespace.pth")).contains("`argparse.Namespace`"));
    assert!(refused(&fixture("number.pth")).contains("`epoch` is not a tensor"));
    assert!(refused(&fixture("expanded.pth")).contains("larger than its storage"));
}

/// Opens a file with these bytes and reads all its tensors.
fn read(path: &Path, bytes: &[u8]) -> packlight_nn::Result<BTreeMap<String, Tensor>> {
    std::fs::write(path, bytes).unwrap();
    weights::read(path, &Device::Cpu)
}

#[test]
fn no_truncation_is_taken_for_whole_and_no_damage_panics() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("weights.pth");
    for name in ["state_dict.pth", "state_dict_older.pth", "checkpoint.pth", "hostile.pth"] {
        let whole = std::fs::read(fixture(name)).unwrap();
        for cut in (0..whole.len()).step_by(7).chain([whole.len() - 1]) {
            assert!(read(&path, &whole[..cut]).is_err(), "{name} cut to {cut}");
        }
        for at in 0..whole.len() {
            for change in [0x01, 0x80, 0xff] {
                let mut damaged = whole.clone();
                damaged[at] ^= change;
                let _ = read(&path, &damaged);
            }
        }
    }
}

#[test]
fn a_changed_number_does_not_fit_its_checksum() {
    let folder = tempfile::tempdir().unwrap();
    let mut bytes = std::fs::read(fixture("state_dict.pth")).unwrap();
    let number = 1.875f32.to_le_bytes(); // of `weight`
    let at = bytes.windows(4).position(|window| window == number).unwrap();
    bytes[at] ^= 1;
    let error = read(&folder.path().join("weights.pth"), &bytes).unwrap_err().to_string();
    assert!(error.contains("the checksum of `state_dict/data/0` does not fit"), "{error}");
}

/// The beginning of a file of an older PyTorch, up to its state dict.
fn older() -> Vec<u8> {
    let whole = std::fs::read(fixture("state_dict_older.pth")).unwrap();
    let starts: Vec<usize> =
        (0..whole.len() - 1).filter(|&at| whole[at..at + 2] == [0x80, 2]).collect();
    whole[..starts[3]].to_vec()
}

#[test]
fn nothing_exhausts_stack_or_memory() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("weights.pth");
    let of = |pickle: Vec<u8>| read(&path, &[older(), vec![0x80, 2], pickle].concat()).unwrap_err();
    // A tuple in a tuple, half a million times.
    let nested = [&b")"[..], &vec![0x85; 500_000], b"."].concat();
    assert!(of(nested).to_string().contains("weights.pth"));
    // Each tuple holds the one before it twice.
    let doubled: Vec<u8> = (0..64).flat_map(|_| *b"q\x00h\x00\x86").collect();
    assert!(of([&b")"[..], &doubled, b"."].concat()).to_string().contains("no state dict"));
    let many = [vec![b'N'; 3 << 20], b".".to_vec()].concat();
    assert!(of(many).to_string().contains("more than 1048576 objects"));
    // Text of four gigabytes that is not there.
    assert!(of(b"X\xff\xff\xff\xff.".to_vec()).to_string().contains("it ends within an object"));
    assert!(
        of(b"\x8d\xff\xff\xff\xff\xff\xff\xff\xff.".to_vec()).to_string().contains("ends within")
    );
}
