//! Pixels as a PNG file (ISO/IEC 15948): one filter, one compressed stream.

use super::raster::{DENSITY, Pixels};
use flate2::Compression;
use flate2::write::ZlibEncoder;
use std::io::{self, Write};

/// Dots per metre at 150 logical pixels an inch: the default chart is 8 inches wide on paper.
const DOTS_PER_METRE: u32 = (DENSITY as f64 * 150.0 / 0.0254) as u32;

pub(super) fn encode(pixels: &Pixels) -> io::Result<Vec<u8>> {
    let mut png = b"\x89PNG\r\n\x1a\n".to_vec();
    let mut header = Vec::with_capacity(13);
    header.extend((pixels.width as u32).to_be_bytes());
    header.extend((pixels.height as u32).to_be_bytes());
    // 8 bits a channel, RGB, deflate, adaptive filters, not interlaced.
    header.extend([8, 2, 0, 0, 0]);
    chunk(&mut png, *b"IHDR", &header);
    let mut density = [DOTS_PER_METRE.to_be_bytes(), DOTS_PER_METRE.to_be_bytes()].concat();
    density.push(1);
    chunk(&mut png, *b"pHYs", &density);
    let mut packed = ZlibEncoder::new(Vec::new(), Compression::best());
    let row_length = 3 * pixels.width;
    let mut above = vec![0; row_length];
    for row in pixels.rgb.chunks_exact(row_length) {
        // Filter "up": charts are mostly vertical repetition.
        packed.write_all(&[2])?;
        for (above, &byte) in above.iter_mut().zip(row) {
            *above = byte.wrapping_sub(*above);
        }
        packed.write_all(&above)?;
        above.copy_from_slice(row);
    }
    chunk(&mut png, *b"IDAT", &packed.finish()?);
    chunk(&mut png, *b"IEND", &[]);
    Ok(png)
}

fn chunk(png: &mut Vec<u8>, kind: [u8; 4], data: &[u8]) {
    png.extend((data.len() as u32).to_be_bytes());
    let start = png.len();
    png.extend(kind);
    png.extend(data);
    let mut sum = flate2::Crc::new();
    sum.update(&png[start..]);
    png.extend(sum.sum().to_be_bytes());
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use std::io::Read;

    /// Reads back what [`encode`] writes, checking every length and sum.
    pub fn decode(png: &[u8]) -> Pixels {
        assert_eq!(&png[..8], b"\x89PNG\r\n\x1a\n");
        let (mut rest, mut size, mut packed) = (&png[8..], (0, 0), Vec::new());
        loop {
            let number = |bytes: &[u8]| u32::from_be_bytes(bytes.try_into().unwrap()) as usize;
            let length = number(&rest[..4]);
            let (kind, data) = (&rest[4..8], &rest[8..8 + length]);
            let mut sum = flate2::Crc::new();
            sum.update(&rest[4..8 + length]);
            assert_eq!(sum.sum() as usize, number(&rest[8 + length..12 + length]));
            match kind {
                b"IHDR" => size = (number(&data[..4]), number(&data[4..8])),
                b"IDAT" => packed.extend(data),
                b"IEND" => break,
                _ => {}
            }
            rest = &rest[12 + length..];
        }
        let (width, height) = size;
        let mut bytes = Vec::new();
        flate2::read::ZlibDecoder::new(packed.as_slice()).read_to_end(&mut bytes).unwrap();
        assert_eq!(bytes.len(), height * (1 + 3 * width));
        let mut rgb: Vec<u8> = Vec::new();
        let mut above = vec![0u8; 3 * width];
        for row in bytes.chunks_exact(1 + 3 * width) {
            assert_eq!(row[0], 2);
            for (above, &byte) in above.iter_mut().zip(&row[1..]) {
                *above = above.wrapping_add(byte);
            }
            rgb.extend(&above);
        }
        Pixels { width, height, rgb }
    }

    #[test]
    fn pixels_come_back() {
        let rgb = (0..3 * 7 * 5).map(|at: u32| (at * 37 % 256) as u8).collect();
        let pixels = Pixels { width: 7, height: 5, rgb };
        assert_eq!(decode(&encode(&pixels).unwrap()), pixels);
    }
}
