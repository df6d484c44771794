//! A low-rank change of a matrix, added to the elements that are read and never held whole.

/// s · L·R, where L is `[rows, rank]` and R `[rank, columns]`.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct LowRank {
    pub left: Vec<f32>,
    pub right: Vec<f32>,
    pub rank: usize,
    pub columns: usize,
    pub scale: f32,
}

impl LowRank {
    /// Adds the change's elements from `start` on, row by row, to `values`; `product` is a buffer.
    pub fn add(&self, start: usize, values: &mut [f32], product: &mut Vec<f32>) {
        let (mut at, mut rest) = (start, values);
        while !rest.is_empty() && self.columns > 0 {
            let (row, column) = (at / self.columns, at % self.columns);
            let (now, later) = rest.split_at_mut(rest.len().min(self.columns - column));
            product.clear();
            product.resize(now.len(), 0.0);
            for k in 0..self.rank {
                let factor = self.left[row * self.rank + k];
                let right = &self.right[k * self.columns + column..][..now.len()];
                product.iter_mut().zip(right).for_each(|(sum, right)| *sum += factor * right);
            }
            now.iter_mut().zip(&*product).for_each(|(value, product)| *value += self.scale * product);
            at += now.len();
            rest = later;
        }
    }
}

/// The transpose of a matrix with so many columns.
pub(super) fn transposed(matrix: &[f32], columns: usize) -> Vec<f32> {
    let rows = matrix.len().checked_div(columns).unwrap_or(0);
    (0..columns).flat_map(|column| (0..rows).map(move |row| matrix[row * columns + column])).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_piece_of_the_product_can_be_added() {
        let change = LowRank {
            left: vec![1.0, 2.0, 0.0, 1.0],
            right: vec![1.0, 2.0, 3.0, 4.0, 5.0, 6.0],
            rank: 2,
            columns: 3,
            scale: 0.5,
        };
        let whole = [4.5, 6.0, 7.5, 2.0, 2.5, 3.0];
        for start in 0..6 {
            for end in start..=6 {
                let mut values = vec![10.0; end - start];
                change.add(start, &mut values, &mut Vec::new());
                let expected: Vec<f32> = whole[start..end].iter().map(|x| 10.0 + x).collect();
                assert_eq!(values, expected);
            }
        }
        assert_eq!(transposed(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0], 3), [1.0, 4.0, 2.0, 5.0, 3.0, 6.0]);
    }
}
