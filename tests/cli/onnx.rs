//! The float tensors of an ONNX file: as much of its protocol buffers as real models for tests need.

use fusebench::weights::{DType, Data, Tensor};
use std::collections::BTreeMap;

/// A field's value: a number, or bytes.
enum Field<'a> {
    Number(u64),
    Bytes(&'a [u8]),
}

fn number(bytes: &mut &[u8]) -> u64 {
    let (mut value, mut shift) = (0, 0);
    loop {
        let byte = bytes[0];
        *bytes = &bytes[1..];
        value |= u64::from(byte & 0x7f) << shift;
        shift += 7;
        if byte < 0x80 {
            return value;
        }
    }
}

fn fields(mut bytes: &[u8]) -> Vec<(u64, Field<'_>)> {
    let mut fields = Vec::new();
    while !bytes.is_empty() {
        let key = number(&mut bytes);
        let length = match key & 7 {
            0 => {
                fields.push((key >> 3, Field::Number(number(&mut bytes))));
                continue;
            }
            1 => 8,
            2 => number(&mut bytes) as usize,
            5 => 4,
            kind => panic!("wire type {kind}"),
        };
        let (value, rest) = bytes.split_at(length);
        fields.push((key >> 3, Field::Bytes(value)));
        bytes = rest;
    }
    fields
}

fn parts(bytes: &[u8], id: u64) -> Vec<&[u8]> {
    let part = |(field, value)| match value {
        Field::Bytes(bytes) if field == id => Some(bytes),
        _ => None,
    };
    fields(bytes).into_iter().filter_map(part).collect()
}

/// Initialisers and constants of all graphs, those within `If` too, sorted by name.
pub fn tensors(model: &[u8]) -> Vec<Tensor> {
    let mut found = BTreeMap::new();
    for part in parts(model, 7) {
        graph(part, "", &mut found);
    }
    found.into_values().collect()
}

fn graph(bytes: &[u8], prefix: &str, found: &mut BTreeMap<String, Tensor>) {
    for bytes in parts(bytes, 5) {
        let name = parts(bytes, 8).first().map_or_else(String::new, |name| String::from_utf8_lossy(name).into_owned());
        tensor(bytes, format!("{prefix}{name}"), found);
    }
    for node in parts(bytes, 1) {
        let output = parts(node, 2).first().map_or_else(String::new, |name| String::from_utf8_lossy(name).into_owned());
        for attribute in parts(node, 5) {
            let name = String::from_utf8_lossy(parts(attribute, 1)[0]).into_owned();
            for bytes in parts(attribute, 5) {
                tensor(bytes, format!("{prefix}{output}"), found);
            }
            for bytes in parts(attribute, 6) {
                graph(bytes, &format!("{prefix}{name}."), found);
            }
        }
    }
}

/// Keeps a tensor of f32 under `name`.
fn tensor(bytes: &[u8], name: String, found: &mut BTreeMap<String, Tensor>) {
    let (mut shape, mut kind, mut raw) = (Vec::new(), 0, Vec::new());
    for (id, value) in fields(bytes) {
        match (id, value) {
            (1, Field::Number(side)) => shape.push(side as usize),
            (1, Field::Bytes(mut packed)) => {
                while !packed.is_empty() {
                    shape.push(number(&mut packed) as usize);
                }
            }
            (2, Field::Number(number)) => kind = number,
            (4 | 9, Field::Bytes(bytes)) => raw.extend_from_slice(bytes),
            _ => {}
        }
    }
    let values: Vec<f32> = raw.as_chunks::<4>().0.iter().map(|&bytes| f32::from_le_bytes(bytes)).collect();
    if kind == 1 && values.len() == shape.iter().product::<usize>() {
        found.insert(name.clone(), Tensor { name, shape, dtype: DType::F32, data: Data::Float(values) });
    }
}
