//! State dicts as `torch.save` writes them: a zip archive with a pickle and the tensors' numbers, or, before
//! PyTorch 1.6, several pickles with the numbers behind them.

use std::collections::HashMap;
use std::ops::Range;

use safetensors::Dtype;

use super::Stored;
use super::pickle::{Id, Object, Pickle, Tensor};
use super::zip;

/// What the file of an older PyTorch begins with: protocol 2, and its magic number of ten bytes.
const OLDER: &[u8] =
    &[0x80, 2, 0x8a, 10, 0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19, b'.'];

/// The keys under which training scripts keep the state dict among other things.
const WITHIN: [&str; 3] = ["state_dict", "model_state_dict", "model"];

/// Whether `bytes` are a file of PyTorch's.
pub(super) fn is_own(bytes: &[u8]) -> bool {
    zip::is_archive(bytes) || bytes.starts_with(OLDER)
}

/// The tensors of a state dict by name, in the order in which they are stored.
///
/// # Errors
/// Returns what is wrong with the file, in words.
pub(super) fn read(bytes: &[u8]) -> Result<Vec<(String, Stored)>, String> {
    match zip::is_archive(bytes) {
        true => of_archive(bytes),
        false => of_older(bytes),
    }
}

fn of_archive(bytes: &[u8]) -> Result<Vec<(String, Stored)>, String> {
    let entries = zip::entries(bytes)?;
    let pickles = entries.iter().filter(|(name, _)| name.rsplit('/').next() == Some("data.pkl"));
    let Some((name, place)) = pickles.min_by_key(|(name, _)| name.len()) else {
        return Err("an archive without `data.pkl`, so it is not of `torch.save`".into());
    };
    let folder = name.strip_suffix("data.pkl").unwrap_or_default();
    let order = entries.get(&format!("{folder}byteorder")).map(|place| &bytes[place.clone()]);
    if order.is_some_and(|order| order != b"little") {
        return Err("numbers in big-endian order; save it again on another machine".into());
    }
    let pickle = Pickle::read(&bytes[place.clone()])?;
    stored(&pickle, |tensor| {
        let key = format!("{folder}data/{}", tensor.storage.key);
        entries.get(&key).cloned().ok_or(format!("`{key}` is not there"))
    })
}

fn of_older(bytes: &[u8]) -> Result<Vec<(String, Stored)>, String> {
    let mut at = OLDER.len();
    let mut next = || {
        let pickle = Pickle::read(&bytes[at..])?;
        at += pickle.len;
        Ok::<_, String>(pickle)
    };
    let (_version, _machine, state) = (next()?, next()?, next()?);
    let kinds: HashMap<&str, (Dtype, usize)> = tensors(&state)?
        .into_iter()
        .map(|(_, tensor)| (tensor.storage.key, (tensor.storage.dtype, tensor.storage.len)))
        .collect();
    let keys = next()?;
    let Object::List(order) = keys.root() else {
        return Err("the list of its storages is not there".into());
    };
    let mut places = HashMap::new();
    for &key in order {
        let Object::Text(key) = keys.object(key) else {
            return Err("a key that is no text".into());
        };
        let Some(&(dtype, len)) = kinds.get(key) else {
            return Err(
                "the numbers of something other than a tensor; save the state dict alone".into()
            );
        };
        let begin = at + size_of::<u64>(); // the number of elements precedes them
        let count = bytes.get(at..begin).and_then(|count| count.try_into().ok());
        let size = size_of_all(dtype, len);
        let end = size.and_then(|size| begin.checked_add(size)).filter(|&end| end <= bytes.len());
        match (count.map(u64::from_le_bytes), end) {
            (Some(count), Some(end)) if count == len as u64 => {
                places.insert(*key, begin..end);
                at = end;
            }
            _ => return Err(format!("the numbers of storage {key} are not whole")),
        }
    }
    stored(&state, |tensor| {
        let key = tensor.storage.key;
        places.get(key).cloned().ok_or(format!("the numbers of storage {key} are not there"))
    })
}

/// The tensors of a pickle by name, each with the place of its numbers; `place` is that of a storage.
fn stored(
    pickle: &Pickle<'_>,
    place: impl Fn(&Tensor<'_>) -> Result<Range<usize>, String>,
) -> Result<Vec<(String, Stored)>, String> {
    let with_place = |(name, tensor): (&str, &Tensor<'_>)| {
        let wrong = |reason: &str| format!("the tensor `{name}`: {reason}");
        let place = place(tensor).map_err(|reason| wrong(&reason))?;
        let dtype = tensor.storage.dtype;
        let size = size_of_all(dtype, 1).unwrap_or(0);
        if size_of_all(dtype, tensor.storage.len) != Some(place.len()) {
            return Err(wrong("its numbers are not whole"));
        }
        let within = end(tensor).is_some_and(|end| end <= tensor.storage.len);
        // A view that repeats its elements could be of any size.
        let count: Option<usize> =
            tensor.shape.iter().try_fold(1, |count: usize, &n| count.checked_mul(n.max(1)));
        let empty = tensor.shape.contains(&0);
        if !within || count.is_none_or(|count| !empty && count > tensor.storage.len) {
            return Err(wrong("it is larger than its storage"));
        }
        Ok((
            name.to_owned(),
            Stored {
                dtype,
                shape: tensor.shape.clone(),
                begin: place.start + tensor.offset * size,
                strides: Some(tensor.strides.clone()),
            },
        ))
    };
    tensors(pickle)?.into_iter().map(with_place).collect()
}

/// One behind the last element that a tensor reads of its storage.
fn end(tensor: &Tensor<'_>) -> Option<usize> {
    if tensor.shape.len() != tensor.strides.len() {
        return None;
    }
    if tensor.shape.contains(&0) {
        return Some(0).filter(|_| tensor.offset <= tensor.storage.len);
    }
    let last =
        tensor.shape.iter().zip(&tensor.strides).try_fold(tensor.offset, |last, (n, stride)| {
            last.checked_add((n - 1).checked_mul(*stride)?)
        });
    last?.checked_add(1)
}

/// The bytes of `len` elements.
fn size_of_all(dtype: Dtype, len: usize) -> Option<usize> {
    (dtype.bitsize() / 8).checked_mul(len)
}

/// The tensors of the state dict, which is the pickle itself or stands in it under one of the usual keys.
fn tensors<'p, 'a>(pickle: &'p Pickle<'a>) -> Result<Vec<(&'a str, &'p Tensor<'a>)>, String> {
    let Object::Dict(all) = pickle.root() else {
        return Err("it holds no state dict, which maps names to tensors".into());
    };
    let tensor = |id: Id| match pickle.object(id) {
        Object::Tensor(tensor) => Some(tensor),
        _ => None,
    };
    let within = |wanted: &str| {
        let found = all.iter().find(|(key, _)| *pickle.object(*key) == Object::Text(wanted))?;
        match pickle.object(found.1) {
            Object::Dict(items) => Some(items),
            _ => None,
        }
    };
    let state = match all.iter().any(|&(_, value)| tensor(value).is_some()) {
        true => all,
        false => WITHIN.into_iter().find_map(within).unwrap_or(all),
    };
    let mut named = Vec::with_capacity(state.len());
    for &(key, value) in state {
        let Object::Text(name) = *pickle.object(key) else {
            return Err("a name that is no text".into());
        };
        let Some(tensor) = tensor(value) else {
            return Err(format!("`{name}` is not a tensor; save the state dict alone"));
        };
        named.push((name, tensor));
    }
    Ok(named)
}
