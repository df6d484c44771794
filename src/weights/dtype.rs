//! Storage dtypes, and their conversion to and from the f32 in which all fusion is computed.

use half::{bf16, f16, slice::HalfFloatSliceExt};
use safetensors::Dtype;
use std::fmt;

/// A dtype that fusebench reads. Integers and bools are passed through, never computed with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DType {
    F64,
    F32,
    F16,
    Bf16,
    I64,
    I32,
    I16,
    I8,
    U64,
    U32,
    U16,
    U8,
    Bool,
}

impl DType {
    pub(super) fn from_safetensors(dtype: Dtype) -> Option<Self> {
        Some(match dtype {
            Dtype::F64 => Self::F64,
            Dtype::F32 => Self::F32,
            Dtype::F16 => Self::F16,
            Dtype::BF16 => Self::Bf16,
            Dtype::I64 => Self::I64,
            Dtype::I32 => Self::I32,
            Dtype::I16 => Self::I16,
            Dtype::I8 => Self::I8,
            Dtype::U64 => Self::U64,
            Dtype::U32 => Self::U32,
            Dtype::U16 => Self::U16,
            Dtype::U8 => Self::U8,
            Dtype::BOOL => Self::Bool,
            _ => return None,
        })
    }

    pub(super) fn to_safetensors(self) -> Dtype {
        match self {
            Self::F64 => Dtype::F64,
            Self::F32 => Dtype::F32,
            Self::F16 => Dtype::F16,
            Self::Bf16 => Dtype::BF16,
            Self::I64 => Dtype::I64,
            Self::I32 => Dtype::I32,
            Self::I16 => Dtype::I16,
            Self::I8 => Dtype::I8,
            Self::U64 => Dtype::U64,
            Self::U32 => Dtype::U32,
            Self::U16 => Dtype::U16,
            Self::U8 => Dtype::U8,
            Self::Bool => Dtype::BOOL,
        }
    }

    /// Bytes per element.
    #[must_use]
    pub fn size(self) -> usize {
        match self {
            Self::F64 | Self::I64 | Self::U64 => 8,
            Self::F32 | Self::I32 | Self::U32 => 4,
            Self::F16 | Self::Bf16 | Self::I16 | Self::U16 => 2,
            Self::I8 | Self::U8 | Self::Bool => 1,
        }
    }

    /// Whether fusion computes with it; everything else is a buffer that is passed through.
    #[must_use]
    pub fn is_float(self) -> bool {
        matches!(self, Self::F64 | Self::F32 | Self::F16 | Self::Bf16)
    }

    /// Decodes little-endian `bytes` into `out`, element by element. Only for float dtypes.
    ///
    /// `bytes` holds `out.len() * self.size()` bytes and need not be aligned.
    pub(super) fn decode(self, bytes: &[u8], out: &mut [f32]) {
        match self {
            Self::F32 => bytemuck::cast_slice_mut(out).copy_from_slice(bytes),
            Self::F64 => {
                for (value, chunk) in out.iter_mut().zip(bytes.as_chunks::<8>().0) {
                    *value = f64::from_le_bytes(*chunk) as f32;
                }
            }
            Self::F16 => match bytemuck::try_cast_slice::<u8, f16>(bytes) {
                Ok(halves) => halves.convert_to_f32_slice(out),
                Err(_) => decode_pairs(bytes, out, |pair| f16::from_le_bytes(pair).to_f32()),
            },
            Self::Bf16 => decode_pairs(bytes, out, |pair| bf16::from_le_bytes(pair).to_f32()),
            _ => debug_assert!(false, "{self} is not a float dtype"),
        }
    }

    /// Decodes little-endian `bytes` of any dtype.
    pub(super) fn decode_f64(self, bytes: &[u8]) -> Vec<f64> {
        fn all<const N: usize>(bytes: &[u8], read: impl Fn([u8; N]) -> f64) -> Vec<f64> {
            bytes.as_chunks::<N>().0.iter().map(|&chunk| read(chunk)).collect()
        }
        match self {
            Self::F64 => all(bytes, f64::from_le_bytes),
            Self::F32 => all(bytes, |b| f32::from_le_bytes(b).into()),
            Self::F16 => all(bytes, |b| f16::from_le_bytes(b).to_f64()),
            Self::Bf16 => all(bytes, |b| bf16::from_le_bytes(b).to_f64()),
            Self::I64 => all(bytes, |b| i64::from_le_bytes(b) as f64),
            Self::U64 => all(bytes, |b| u64::from_le_bytes(b) as f64),
            Self::I32 => all(bytes, |b| i32::from_le_bytes(b).into()),
            Self::U32 => all(bytes, |b| u32::from_le_bytes(b).into()),
            Self::I16 => all(bytes, |b| i16::from_le_bytes(b).into()),
            Self::U16 => all(bytes, |b| u16::from_le_bytes(b).into()),
            Self::I8 => all(bytes, |b| i8::from_le_bytes(b).into()),
            Self::U8 | Self::Bool => all(bytes, |[b]| b.into()),
        }
    }

    /// Encodes f32 values, rounding once to nearest-even.
    pub(super) fn encode(self, values: &[f32]) -> Vec<u8> {
        match self {
            Self::F64 => values.iter().flat_map(|&x| f64::from(x).to_le_bytes()).collect(),
            Self::F16 => values.iter().flat_map(|&x| f16::from_f32(x).to_le_bytes()).collect(),
            Self::Bf16 => values.iter().flat_map(|&x| bf16::from_f32(x).to_le_bytes()).collect(),
            _ => bytemuck::cast_slice(values).to_vec(),
        }
    }
}

fn decode_pairs(bytes: &[u8], out: &mut [f32], decode: impl Fn([u8; 2]) -> f32) {
    for (value, pair) in out.iter_mut().zip(bytes.as_chunks::<2>().0) {
        *value = decode(*pair);
    }
}

impl fmt::Display for DType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::F64 => "f64",
            Self::F32 => "f32",
            Self::F16 => "f16",
            Self::Bf16 => "bf16",
            Self::I64 => "i64",
            Self::I32 => "i32",
            Self::I16 => "i16",
            Self::I8 => "i8",
            Self::U64 => "u64",
            Self::U32 => "u32",
            Self::U16 => "u16",
            Self::U8 => "u8",
            Self::Bool => "bool",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn floats_survive_decoding_at_any_alignment() {
        let values = [0.0, 1.0, -2.5, 1024.0, -0.125];
        for dtype in [DType::F64, DType::F32, DType::F16, DType::Bf16] {
            let mut bytes = vec![0];
            bytes.extend(dtype.encode(&values));
            let mut back = [0.0; 5];
            dtype.decode(&bytes[1..], &mut back);
            assert_eq!(back, values, "{dtype}");
        }
    }
}
