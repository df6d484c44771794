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
    /// Read, never written: 4 exponent and 3 mantissa bits, no infinity.
    F8E4M3,
    /// Read, never written: 5 exponent and 2 mantissa bits.
    F8E5M2,
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
            Dtype::F8_E4M3 => Self::F8E4M3,
            Dtype::F8_E5M2 => Self::F8E5M2,
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
            Self::F8E4M3 => Dtype::F8_E4M3,
            Self::F8E5M2 => Dtype::F8_E5M2,
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

    /// As a safetensors header calls it.
    pub(super) fn safetensors_name(self) -> String {
        self.to_safetensors().to_string()
    }

    /// Bytes per element.
    #[must_use]
    pub fn size(self) -> usize {
        match self {
            Self::F64 | Self::I64 | Self::U64 => 8,
            Self::F32 | Self::I32 | Self::U32 => 4,
            Self::F16 | Self::Bf16 | Self::I16 | Self::U16 => 2,
            Self::F8E4M3 | Self::F8E5M2 | Self::I8 | Self::U8 | Self::Bool => 1,
        }
    }

    /// Whether fusion computes with it; everything else is a buffer that is passed through.
    #[must_use]
    pub fn is_float(self) -> bool {
        matches!(self, Self::F64 | Self::F32 | Self::F16 | Self::Bf16 | Self::F8E4M3 | Self::F8E5M2)
    }

    /// The dtype in which a fused tensor is written whose base has this one: float8 is only read, everything else stays.
    #[must_use]
    pub fn written(self) -> Self {
        if matches!(self, Self::F8E4M3 | Self::F8E5M2) { Self::Bf16 } else { self }
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
            Self::F8E4M3 => out.iter_mut().zip(bytes).for_each(|(value, byte)| *value = float8(*byte, 3)),
            Self::F8E5M2 => out.iter_mut().zip(bytes).for_each(|(value, byte)| *value = float8(*byte, 2)),
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
            Self::F8E4M3 => all(bytes, |[b]| float8(b, 3).into()),
            Self::F8E5M2 => all(bytes, |[b]| float8(b, 2).into()),
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
        let mut buffer = Vec::new();
        self.encode_into(values, &mut buffer).to_vec()
    }

    /// As bytes to be written, rounded once to nearest-even: the values themselves where they are f32, or `buffer`, which
    /// is reused. Only for float dtypes that are [written](Self::written).
    #[must_use]
    pub fn encode_into<'a>(self, values: &'a [f32], buffer: &'a mut Vec<u8>) -> &'a [u8] {
        if self == Self::F32 {
            return bytemuck::cast_slice(values);
        }
        buffer.resize(values.len() * self.size(), 0);
        match self {
            Self::F64 => {
                let chunks = buffer.as_chunks_mut::<8>().0;
                chunks.iter_mut().zip(values).for_each(|(out, &x)| *out = f64::from(x).to_le_bytes());
            }
            Self::Bf16 => {
                let chunks = buffer.as_chunks_mut::<2>().0;
                chunks.iter_mut().zip(values).for_each(|(out, &x)| *out = bf16::from_f32(x).to_le_bytes());
            }
            _ => match bytemuck::try_cast_slice_mut::<u8, f16>(buffer) {
                Ok(halves) => halves.convert_from_f32_slice(values),
                Err(_) => {
                    let chunks = buffer.as_chunks_mut::<2>().0;
                    chunks.iter_mut().zip(values).for_each(|(out, &x)| *out = f16::from_f32(x).to_le_bytes());
                }
            },
        }
        buffer
    }

    /// The smallest magnitude that would be written as infinity, as the bits of an f32.
    #[must_use]
    pub fn overflow_bits(self) -> u32 {
        match self {
            Self::F16 => 65520.0f32.to_bits(),
            Self::Bf16 => 0x7f7f_8000,
            _ => f32::INFINITY.to_bits(),
        }
    }

    /// The float dtype that people call so: `f32`, `float32`, `bf16`, `bfloat16`, …
    #[must_use]
    pub fn parse_float(name: &str) -> Option<Self> {
        Some(match name {
            "f64" | "float64" => Self::F64,
            "f32" | "float32" | "float" => Self::F32,
            "f16" | "float16" | "half" => Self::F16,
            "bf16" | "bfloat16" => Self::Bf16,
            _ => return None,
        })
    }

    /// The name in a `config.json`.
    #[must_use]
    pub fn torch_name(self) -> Option<&'static str> {
        Some(match self {
            Self::F64 => "float64",
            Self::F32 => "float32",
            Self::F16 => "float16",
            Self::Bf16 => "bfloat16",
            _ => return None,
        })
    }
}

/// One float8 with so many mantissa bits: 3 is E4M3 (only NaN beside the numbers), 2 is E5M2 (as IEEE 754 would have it).
fn float8(byte: u8, mantissa_bits: u32) -> f32 {
    let (mask, bias) = if mantissa_bits == 3 { (0x7, 7) } else { (0x3, 15) };
    let (exponent, mantissa) = (i32::from(byte >> mantissa_bits) & (0x7f >> mantissa_bits), f32::from(byte & mask));
    let scale = f32::from(mask + 1);
    let size = match (mantissa_bits, exponent, byte & mask) {
        (3, 15, 7) => f32::NAN,
        (2, 31, 0) => f32::INFINITY,
        (2, 31, _) => f32::NAN,
        (_, 0, _) => mantissa / scale * f32::from(2u8).powi(1 - bias),
        _ => (1.0 + mantissa / scale) * f32::from(2u8).powi(exponent - bias),
    };
    if byte & 0x80 == 0 { size } else { -size }
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
            Self::F8E4M3 => "f8_e4m3",
            Self::F8E5M2 => "f8_e5m2",
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

    #[test]
    fn float8_as_the_specification_has_it() {
        // OCP 8-bit floating point, table 2: largest, smallest normal, smallest subnormal, special values.
        for (byte, mantissa, value) in [
            (0x7e, 3, 448.0),
            (0xfe, 3, -448.0),
            (0x08, 3, 0.015_625),
            (0x01, 3, 0.001_953_125),
            (0x38, 3, 1.0),
            (0x80, 3, -0.0),
            (0x7b, 2, 57344.0),
            (0x04, 2, 6.103_515_6e-5),
            (0x01, 2, 1.525_878_9e-5),
            (0x3c, 2, 1.0),
            (0x7c, 2, f32::INFINITY),
            (0xfc, 2, f32::NEG_INFINITY),
        ] {
            assert_eq!(float8(byte, mantissa).to_bits(), f32::to_bits(value), "{byte:#x} {mantissa}");
        }
        assert!(float8(0x7f, 3).is_nan() && float8(0xff, 3).is_nan() && float8(0x7d, 2).is_nan());
    }
}
