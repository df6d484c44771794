//! Geometry of linear combinations Σ cᵢxᵢ of the experts, of which only the scalar products ⟨xᵢ, xⱼ⟩ are known.

use super::moments::Products;

/// ⟨Σ aᵢxᵢ, Σ bⱼxⱼ⟩
pub(in crate::fusion) fn dot(products: &Products, a: &[f64], b: &[f64]) -> f64 {
    let row = |(i, a): (usize, &f64)| a * b.iter().enumerate().map(|(j, b)| b * products.at(i, j)).sum::<f64>();
    a.iter().enumerate().map(row).sum()
}

/// ‖Σ cᵢxᵢ‖
pub(in crate::fusion) fn norm(products: &Products, c: &[f64]) -> f64 {
    let square = dot(products, c, c);
    // Rounding can leave a little less than nothing; what is not a number stays visible.
    if square < 0.0 { 0.0 } else { square.sqrt() }
}

/// a + factor · b
pub(in crate::fusion) fn plus(a: &[f64], factor: f64, b: &[f64]) -> Vec<f64> {
    a.iter().zip(b).map(|(a, b)| a + factor * b).collect()
}

/// factor · a
pub(in crate::fusion) fn times(factor: f64, a: &[f64]) -> Vec<f64> {
    a.iter().map(|a| factor * a).collect()
}
