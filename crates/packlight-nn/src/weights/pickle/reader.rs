//! The stack machine that a pickle is a program for.

use std::collections::HashMap;

use super::{Id, Name, Object, Pickle, Storage, Tensor};

/// More objects than any state dict has.
const MOST: usize = 1 << 20;
/// More axes than any parameter has.
const MOST_AXES: usize = 16;

/// What is on the stack.
#[derive(Clone, Copy)]
enum Entry {
    Mark,
    Object(Id),
}

pub(super) struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
    objects: Vec<Object<'a>>,
    stack: Vec<Entry>,
}

impl<'a> Reader<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0, objects: Vec::new(), stack: Vec::new() }
    }

    pub(super) fn read(mut self) -> Result<Pickle<'a>, String> {
        let root = self.run()?;
        Ok(Pickle { objects: self.objects, root, len: self.at })
    }

    fn run(&mut self) -> Result<Id, String> {
        let mut memo: HashMap<u64, Id> = HashMap::new();
        loop {
            let operation = self.byte()?;
            match operation {
                0x80 => _ = self.byte()?,  // protocol
                0x95 => _ = self.take(8)?, // frame
                b'(' => self.stack.push(Entry::Mark),
                b'.' => return self.pop(),
                b'0' => _ = self.pop()?,
                b'N' | 0x88 | 0x89 => self.push(Object::Other)?,
                b'G' => {
                    self.take(8)?;
                    self.push(Object::Other)?;
                }
                b'K' => self.integer(1)?,
                b'M' => self.integer(2)?,
                b'J' => {
                    let value = self.number(4)? as u32 as i32;
                    self.push(Object::Integer(value.into()))?;
                }
                0x8a => {
                    let size = self.number(1)? as usize;
                    let bytes = self.take(size)?;
                    self.push(long(bytes))?;
                }
                b'X' | b'T' => self.text(4)?,
                b'U' | 0x8c => self.text(1)?,
                0x8d => self.text(8)?,
                b')' => self.push(Object::Tuple(Vec::new()))?,
                0x85..=0x87 => self.tuple(usize::from(operation - 0x84))?,
                b't' => {
                    let items = self.down_to_mark()?;
                    self.push(Object::Tuple(items))?;
                }
                b']' => self.push(Object::List(Vec::new()))?,
                b'l' => {
                    let items = self.down_to_mark()?;
                    self.push(Object::List(items))?;
                }
                b'a' => {
                    let item = self.pop()?;
                    self.append(vec![item])?;
                }
                b'e' => {
                    let items = self.down_to_mark()?;
                    self.append(items)?;
                }
                b'}' => self.push(Object::Dict(Vec::new()))?,
                b'd' => {
                    let items = pairs(self.down_to_mark()?)?;
                    self.push(Object::Dict(items))?;
                }
                b's' => {
                    let (value, key) = (self.pop()?, self.pop()?);
                    self.set(vec![(key, value)])?;
                }
                b'u' => {
                    let items = pairs(self.down_to_mark()?)?;
                    self.set(items)?;
                }
                b'c' => {
                    let (module, name) = (self.line()?, self.line()?);
                    self.push(Object::Name(Name::of(module, name)?))?;
                }
                0x93 => {
                    let (name, module) = (self.pop()?, self.pop()?);
                    let (Object::Text(module), Object::Text(name)) =
                        (&self.objects[module], &self.objects[name])
                    else {
                        return Err("a name that is no text".into());
                    };
                    let name = Name::of(module, name)?;
                    self.push(Object::Name(name))?;
                }
                b'R' => self.call()?,
                b'b' => {
                    // Attributes of a state dict, such as the versions of its modules.
                    self.pop()?;
                    if !matches!(self.objects[self.top()?], Object::Dict(_)) {
                        return Err("attributes of something other than a dict".into());
                    }
                }
                b'Q' => {
                    let key = self.pop()?;
                    let storage = self.storage(key).ok_or("a storage that is not as expected")?;
                    self.push(Object::Storage(storage))?;
                }
                b'q' => _ = memo.insert(self.number(1)?, self.top()?),
                b'r' => _ = memo.insert(self.number(4)?, self.top()?),
                0x94 => _ = memo.insert(memo.len() as u64, self.top()?),
                b'h' | b'j' => {
                    let number = self.number(if operation == b'h' { 1 } else { 4 })?;
                    let id = memo.get(&number).ok_or("a reference to nothing")?;
                    self.stack.push(Entry::Object(*id));
                }
                other => {
                    return Err(format!(
                        "it holds the operation {other:#04x}, which no state dict needs"
                    ));
                }
            }
        }
    }

    fn take(&mut self, count: usize) -> Result<&'a [u8], String> {
        let rest = &self.bytes[self.at..];
        let taken = rest.get(..count).ok_or("it ends within an object")?;
        self.at += count;
        Ok(taken)
    }

    fn byte(&mut self) -> Result<u8, String> {
        Ok(self.take(1)?[0])
    }

    /// A number of `size` bytes, at most 8.
    fn number(&mut self, size: usize) -> Result<u64, String> {
        let bytes = self.take(size)?;
        Ok(bytes.iter().rev().fold(0, |number, &byte| number << 8 | u64::from(byte)))
    }

    fn integer(&mut self, size: usize) -> Result<(), String> {
        let number = self.number(size)? as i64; // of two bytes at most
        self.push(Object::Integer(number))
    }

    /// Text after its length, a number of `size` bytes.
    fn text(&mut self, size: usize) -> Result<(), String> {
        let length = self.number(size)?;
        let bytes = self.take(usize::try_from(length).unwrap_or(usize::MAX))?;
        self.push(Object::Text(utf8(bytes)?))
    }

    fn line(&mut self) -> Result<&'a str, String> {
        let rest = &self.bytes[self.at..];
        let end = rest.iter().position(|&byte| byte == b'\n').ok_or("it ends within a name")?;
        let line = utf8(self.take(end)?)?;
        self.byte()?;
        Ok(line)
    }

    fn push(&mut self, object: Object<'a>) -> Result<(), String> {
        if self.objects.len() == MOST {
            return Err(format!("it holds more than {MOST} objects"));
        }
        self.stack.push(Entry::Object(self.objects.len()));
        self.objects.push(object);
        Ok(())
    }

    fn pop(&mut self) -> Result<Id, String> {
        match self.stack.pop() {
            Some(Entry::Object(id)) => Ok(id),
            _ => Err("an operation without its operands".into()),
        }
    }

    fn top(&self) -> Result<Id, String> {
        match self.stack.last() {
            Some(Entry::Object(id)) => Ok(*id),
            _ => Err("an operation without its operands".into()),
        }
    }

    /// The objects above the last mark, which is removed with them.
    fn down_to_mark(&mut self) -> Result<Vec<Id>, String> {
        let mut items = Vec::new();
        loop {
            match self.stack.pop() {
                Some(Entry::Object(id)) => items.push(id),
                Some(Entry::Mark) => break,
                None => return Err("an operation without its mark".into()),
            }
        }
        items.reverse();
        Ok(items)
    }

    fn tuple(&mut self, count: usize) -> Result<(), String> {
        let mut items = (0..count).map(|_| self.pop()).collect::<Result<Vec<Id>, _>>()?;
        items.reverse();
        self.push(Object::Tuple(items))
    }

    fn append(&mut self, items: Vec<Id>) -> Result<(), String> {
        let top = self.top()?;
        match &mut self.objects[top] {
            Object::List(list) => list.extend(items),
            _ => return Err("items of something other than a list".into()),
        }
        Ok(())
    }

    fn set(&mut self, items: Vec<(Id, Id)>) -> Result<(), String> {
        let top = self.top()?;
        match &mut self.objects[top] {
            Object::Dict(dict) => dict.extend(items),
            _ => return Err("keys of something other than a dict".into()),
        }
        Ok(())
    }

    /// What one of the known functions makes of its arguments.
    fn call(&mut self) -> Result<(), String> {
        let (arguments, function) = (self.pop()?, self.pop()?);
        let (&Object::Name(name), Object::Tuple(arguments)) =
            (&self.objects[function], &self.objects[arguments])
        else {
            return Err("a call of something other than a known function".into());
        };
        let arguments: Vec<Id> = arguments.iter().take(4).copied().collect(); // the others say nothing
        let made = match (name, &arguments[..]) {
            (Name::OrderedDict, []) => Some(Object::Dict(Vec::new())),
            (Name::OrderedDict, &[items]) => self.items(items).map(Object::Dict),
            (Name::Rebuild, &[storage, offset, shape, strides, ..]) => {
                self.tensor(storage, offset, shape, strides).map(Object::Tensor)
            }
            (Name::RebuildParameter, &[tensor, ..]) => {
                let tensor = &self.objects[tensor];
                matches!(tensor, Object::Tensor(_)).then(|| tensor.clone())
            }
            _ => None,
        };
        self.push(made.ok_or("a tensor that is not as expected")?)
    }

    /// A list of pairs, as Python 2 writes the items of an ordered dict. It moves into the dict.
    fn items(&mut self, list: Id) -> Option<Vec<(Id, Id)>> {
        let Object::List(list) = &mut self.objects[list] else { return None };
        let list = std::mem::take(list);
        let pair = |&id: &Id| match &self.objects[id] {
            Object::Tuple(pair) | Object::List(pair) => Some((*pair.first()?, *pair.get(1)?)),
            _ => None,
        };
        list.iter().map(pair).collect()
    }

    fn tensor(&self, storage: Id, offset: Id, shape: Id, strides: Id) -> Option<Tensor<'a>> {
        let Object::Storage(storage) = self.objects[storage] else { return None };
        Some(Tensor {
            storage,
            offset: self.size(offset)?,
            shape: self.sizes(shape)?,
            strides: self.sizes(strides)?,
        })
    }

    /// `("storage", type, key, device, elements)`, and in older files the part that it is of another.
    fn storage(&self, key: Id) -> Option<Storage<'a>> {
        let Object::Tuple(parts) = &self.objects[key] else { return None };
        let &[tag, kind, key, _, len, ref view @ ..] = &parts[..] else { return None };
        let whole = view.iter().all(|&view| self.objects[view] == Object::Other); // `None`
        match (&self.objects[tag], &self.objects[kind], &self.objects[key]) {
            (Object::Text("storage"), Object::Name(Name::Storage(dtype)), Object::Text(key))
                if whole =>
            {
                Some(Storage { dtype: *dtype, key, len: self.size(len)? })
            }
            _ => None,
        }
    }

    fn size(&self, id: Id) -> Option<usize> {
        match self.objects[id] {
            Object::Integer(size) => size.try_into().ok(),
            _ => None,
        }
    }

    fn sizes(&self, id: Id) -> Option<Vec<usize>> {
        let Object::Tuple(sizes) = &self.objects[id] else { return None };
        if sizes.len() > MOST_AXES {
            return None;
        }
        sizes.iter().map(|&size| self.size(size)).collect()
    }
}

/// The integer in these bytes, in two's complement; one that is too large is of no use to a tensor.
fn long<'a>(bytes: &[u8]) -> Object<'a> {
    if bytes.len() > 8 {
        return Object::Other;
    }
    let negative = bytes.last().is_some_and(|&byte| byte >= 0x80);
    let mut whole = [if negative { 0xff } else { 0 }; 8];
    whole[..bytes.len()].copy_from_slice(bytes);
    Object::Integer(i64::from_le_bytes(whole))
}

fn utf8(bytes: &[u8]) -> Result<&str, String> {
    std::str::from_utf8(bytes).map_err(|_| "text that is not UTF-8".to_owned())
}

fn pairs(items: Vec<Id>) -> Result<Vec<(Id, Id)>, String> {
    match items.len().is_multiple_of(2) {
        true => Ok(items.chunks_exact(2).map(|pair| (pair[0], pair[1])).collect()),
        false => Err("a key without its value".into()),
    }
}
