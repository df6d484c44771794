//! A linear layer whose experts answer image by image, or token by token, there and back.

use super::router::{self, Gates, Said};
use crate::fusion::{Change, Matrix as Kept, Mixed, Router, Unit};
use crate::models::clip_vit::host::weight::{Matrix, Weight};
use crate::models::clip_vit::kernels::{experts, slopes};
use std::cell::{OnceCell, RefCell};

/// Elements of the weights that are put together at once, an image each: 16 MiB.
const PORTION: usize = 1 << 22;

/// What a micro-batch has to do with a place.
#[derive(Default)]
pub(super) struct Visit {
    /// What the router says, and of which matrix's inputs.
    said: OnceCell<(usize, Said)>,
    /// The slope over what it says, `[n, experts or components]`.
    over: RefCell<Vec<f32>>,
}

impl Visit {
    /// What the router has said, if it was asked.
    pub fn said(&self) -> Option<&Said> {
        self.said.get().map(|(_, said)| said)
    }

    /// The slope over what the router says, if it was asked about the inputs of this matrix, or whatever it was asked about.
    pub fn take_over(&self, matrix: Option<usize>) -> Option<(&Said, Vec<f32>)> {
        let (asked, said) = self.said.get()?;
        let over = self.over.take();
        if matrix.is_some_and(|matrix| matrix != *asked) || over.is_empty() {
            self.over.replace(over);
            return None;
        }
        Some((said, over))
    }
}

/// A weight, perhaps with experts.
pub(super) struct Gated<'a> {
    pub at: usize,
    pub plain: Matrix<'a>,
    pub experts: Option<Experts<'a>>,
}

/// The experts of a layer, and what a micro-batch has to do with them.
pub(super) struct Experts<'a> {
    pub layer: &'a Mixed,
    pub unit: Unit,
    pub router: &'a Router,
    pub visit: &'a Visit,
    /// Of the images, by the backbone alone, where the router looks at them.
    pub features: Option<&'a [f32]>,
    /// Images.
    pub n: usize,
}

impl Weight for Gated<'_> {
    fn products<const N: usize>(left: Vec<f32>, inputs: usize, weights: [&Self; N]) -> Option<[Vec<f32>; N]> {
        Some(weights.map(|weight| {
            debug_assert_eq!(weight.plain.columns(), inputs);
            match &weight.experts {
                Some(experts) => experts.product(weight.at, weight.plain, &left),
                None => Matrix::new(&left, inputs).times(weight.plain.transposed()),
            }
        }))
    }

    fn look(&self, all: &[f32], inputs: usize) {
        if let Some(experts) = self.experts.as_ref().filter(|experts| experts.router.sees_all_tokens()) {
            experts.said(self.at, all, inputs);
        }
    }
}

/// A change that is kept as it is, or at low rank, with its first number among the gates of an image or token.
enum Part<'a> {
    Dense(&'a [f32]),
    /// `[outputs, rank]`, `[rank, inputs]`
    LowRank(&'a [f32], &'a [f32], usize),
}

impl<'a> Experts<'a> {
    fn said(&self, at: usize, left: &[f32], inputs: usize) -> &Said {
        let ask = || match self.features {
            Some(features) => router::ask(self.router, features, features.len() / self.n.max(1), self.n),
            None => router::ask(self.router, left, inputs, self.n),
        };
        &self.visit.said.get_or_init(|| (at, ask())).1
    }

    /// The changes, each with its number among the gates.
    fn parts(&self) -> impl Iterator<Item = (usize, Part<'a>)> {
        let (unit, mut first) = (self.unit, 0);
        self.layer.changes.iter().enumerate().map(move |(expert, change)| {
            let (part, components) = match &change.weight {
                Kept::Dense(values) => (Part::Dense(values), 1),
                Kept::LowRank { rank, left, right } => (Part::LowRank(left, right, *rank), *rank),
            };
            let at = if unit == Unit::Expert { expert } else { first };
            first += components;
            (at, part)
        })
    }

    /// Biases, where all changes have one.
    fn biases(&self) -> impl Iterator<Item = (usize, &'a [f32])> {
        let outputs = self.layer.outputs;
        let all = self.layer.changes.iter().all(|change: &Change| change.bias.len() == outputs);
        self.layer.changes.iter().map(|change| &change.bias[..]).enumerate().filter(move |_| all)
    }

    /// Whether each image's own weight is put together, which takes as many products as there are experts instead of
    /// experts times tokens.
    fn is_assembled(&self, gates: &Gates, tokens: usize) -> bool {
        let dense = self.parts().filter(|(_, part)| matches!(part, Part::Dense(_))).count();
        matches!(gates, Gates::Images(_)) && self.unit == Unit::Expert && dense > 0 && tokens > dense
    }

    fn dense(&self) -> (Vec<usize>, Vec<&'a [f32]>) {
        let dense = |(at, part)| if let Part::Dense(values) = part { Some((at, values)) } else { None };
        self.parts().filter_map(dense).unzip()
    }

    /// `[rows, inputs]` → `[rows, outputs]`, without the plain bias.
    fn product(&self, at: usize, plain: Matrix<'_>, left: &[f32]) -> Vec<f32> {
        let (inputs, outputs) = (plain.columns(), plain.rows());
        let rows = left.len() / inputs;
        let tokens = rows / self.n.max(1);
        let gates = &self.said(at, left, inputs).gates;
        let assembled = self.is_assembled(gates, tokens);
        let mut out = if assembled {
            let mut out = vec![0.0; rows * outputs];
            let all = left.chunks_exact(tokens * inputs).zip(out.chunks_exact_mut(tokens * outputs));
            let answer = |(left, out): (&[f32], &mut [f32]), own: &mut [f32]| {
                Matrix::new(left, inputs).times_to(Matrix::new(own, inputs).transposed(), out);
            };
            self.assemble(plain, gates, &self.dense(), all, answer, |_, _| ());
            out
        } else {
            Matrix::new(left, inputs).times(plain.transposed())
        };
        for (at, part) in self.parts() {
            if assembled && matches!(part, Part::Dense(_)) {
                continue;
            }
            let gate = self.gate(gates, tokens, at);
            match self.asking(gates, rows, &gate) {
                Some(asking) => {
                    let left: Vec<f32> =
                        asking.iter().flat_map(|row| &left[row * inputs..][..inputs]).copied().collect();
                    let mut more = vec![0.0; asking.len() * outputs];
                    self.add(&part, &left, inputs, &|row, more| gate(asking[row], more), &mut more);
                    for (row, more) in asking.iter().zip(more.chunks_exact(outputs)) {
                        out[row * outputs..][..outputs].iter_mut().zip(more).for_each(|(out, more)| *out += more);
                    }
                }
                None => self.add(&part, left, inputs, &gate, &mut out),
            }
        }
        for (at, bias) in self.biases() {
            let gate = self.gate(gates, tokens, at);
            for (row, out) in out.chunks_exact_mut(outputs).enumerate() {
                let share = gate(row, 0);
                out.iter_mut().zip(bias).for_each(|(out, bias)| *out += share * bias);
            }
        }
        out
    }

    /// The tokens that ask an expert, where each asks for itself and not all do.
    fn asking(&self, gates: &Gates, rows: usize, gate: &impl Fn(usize, usize) -> f32) -> Option<Vec<usize>> {
        if self.unit != Unit::Expert || matches!(gates, Gates::Images(_)) {
            return None;
        }
        let asking: Vec<usize> = (0..rows).filter(|&row| gate(row, 0) != 0.0).collect();
        (asking.len() < rows).then_some(asking)
    }

    /// Adds what a change makes of `left`, `[rows, inputs]`, times its gates, to `out`, `[rows, outputs]`.
    fn add(&self, part: &Part<'_>, left: &[f32], inputs: usize, gate: &impl Fn(usize, usize) -> f32, out: &mut [f32]) {
        let left = Matrix::new(left, inputs);
        match *part {
            Part::Dense(change) => {
                let mut more = left.times(Matrix::new(change, inputs).transposed());
                scale_rows(&mut more, left.rows(), gate);
                out.iter_mut().zip(&more).for_each(|(out, more)| *out += more);
            }
            Part::LowRank(.., 0) => {}
            Part::LowRank(wide, narrow, rank) => {
                let mut along = left.times(Matrix::new(narrow, inputs).transposed());
                self.weigh(&mut along, left.rows(), rank, gate);
                Matrix::new(&along, rank).times_onto(Matrix::new(wide, rank).transposed(), out);
            }
        }
    }

    /// What the expert, or component, `at` and so many after it weighs for a row.
    fn gate<'g>(&self, gates: &'g Gates, tokens: usize, at: usize) -> impl Fn(usize, usize) -> f32 + 'g {
        let (values, rows_each) = match gates {
            Gates::Tokens(values) => (values, 1),
            Gates::Images(values) => (values, tokens),
        };
        let width = self.width();
        move |row, more| values[row / rows_each * width + at + more]
    }

    /// Gates an image or token.
    fn width(&self) -> usize {
        match self.unit {
            Unit::Expert => self.layer.changes.len(),
            Unit::Component => self.layer.components(),
        }
    }

    /// Rows times gates, component by component or as a whole.
    fn weigh(&self, values: &mut [f32], rows: usize, rank: usize, gate: &impl Fn(usize, usize) -> f32) {
        match self.unit {
            Unit::Expert => scale_rows(values, rows, gate),
            Unit::Component => {
                for (row, values) in values.chunks_exact_mut(rank).enumerate() {
                    values.iter_mut().enumerate().for_each(|(at, x)| *x *= gate(row, at));
                }
            }
        }
    }

    /// Puts each image's own weight together of the dense `changes`, whose gates are at `places`. `with` is given an image's part of
    /// what is there `for_each` of them, and its weight, `[outputs, inputs]`, which it may overwrite; `after` every few images is given
    /// the number of the first of them and what was made of their weights.
    fn assemble<T>(
        &self,
        plain: Matrix<'_>,
        gates: &Gates,
        (places, changes): &(Vec<usize>, Vec<&[f32]>),
        mut for_each: impl Iterator<Item = T>,
        mut with: impl FnMut(T, &mut [f32]),
        mut after: impl FnMut(usize, &[f32]),
    ) {
        let Gates::Images(values) = gates else { return };
        let width = self.width();
        let shares: Vec<f32> =
            values.chunks_exact(width).flat_map(|row| places.iter().map(move |&at| row[at])).collect();
        let size = plain.rows() * plain.columns();
        let at_once = (PORTION / size.max(1)).clamp(1, self.n.max(1));
        let mut own = vec![0.0; at_once * size];
        for (lot, shares) in shares.chunks(at_once * places.len()).enumerate() {
            let count = shares.len() / places.len();
            let own = &mut own[..count * size];
            experts::assemble(plain.values(), changes, shares, own);
            for (own, item) in own.chunks_exact_mut(size).zip(for_each.by_ref().take(count)) {
                with(item, own);
            }
            after(lot * at_once, own);
        }
    }

    /// Adds the slope over what the layer was given, `left`, to `onto`, and keeps that over the gates; `over` is the slope over
    /// what it gave.
    pub fn back(&self, plain: Matrix<'_>, left: &[f32], over: &[f32], onto: &mut [f32]) {
        let (inputs, outputs) = (plain.columns(), plain.rows());
        let rows = left.len() / inputs;
        let tokens = rows / self.n.max(1);
        let Some(Said { gates, .. }) = self.visit.said() else { return };
        let width = self.width();
        let mut found = self.visit.over.borrow_mut();
        found.resize(self.n * width, 0.0);
        let assembled = self.is_assembled(gates, tokens);
        if assembled {
            let dense = self.dense();
            let (places, changes) = &dense;
            let images = left.chunks_exact(tokens * inputs).zip(over.chunks_exact(tokens * outputs));
            let all = images.zip(onto.chunks_exact_mut(tokens * inputs));
            let there_and_back = |((left, over), onto): ((&[f32], &[f32]), &mut [f32]), weight: &mut [f32]| {
                let over = Matrix::new(over, outputs);
                over.times_onto(Matrix::new(weight, inputs), onto);
                over.transposed().times_to(Matrix::new(left, inputs), weight);
            };
            self.assemble(plain, gates, &dense, all, there_and_back, |first, products| {
                let mut own = vec![0.0; products.len() / (inputs * outputs) * changes.len()];
                experts::inner_products(changes, products, &mut own);
                for (found, own) in found[first * width..].chunks_exact_mut(width).zip(own.chunks_exact(changes.len()))
                {
                    places.iter().zip(own).for_each(|(&at, own)| found[at] += own);
                }
            });
        } else {
            Matrix::new(over, outputs).times_onto(plain, onto);
        }
        for (at, part) in self.parts() {
            let gate = self.gate(gates, tokens, at);
            match part {
                Part::Dense(_) if assembled => {}
                Part::Dense(change) => {
                    let mut back = Matrix::new(over, outputs).times(Matrix::new(change, inputs));
                    let mut own = vec![0.0; rows];
                    experts::row_products(&back, left, &mut own);
                    own.iter().enumerate().for_each(|(row, own)| found[row / tokens * width + at] += own);
                    scale_rows(&mut back, rows, &gate);
                    onto.iter_mut().zip(&back).for_each(|(onto, back)| *onto += back);
                }
                Part::LowRank(.., 0) => {}
                Part::LowRank(wide, narrow, rank) => {
                    let along = Matrix::new(left, inputs).times(Matrix::new(narrow, inputs).transposed());
                    let mut back = Matrix::new(over, outputs).times(Matrix::new(wide, rank));
                    for (row, (along, back)) in along.chunks_exact(rank).zip(back.chunks_exact(rank)).enumerate() {
                        for (component, (along, back)) in along.iter().zip(back).enumerate() {
                            let more = if self.unit == Unit::Component { component } else { 0 };
                            found[row / tokens * width + at + more] += along * back;
                        }
                    }
                    self.weigh(&mut back, rows, rank, &gate);
                    Matrix::new(&back, rank).times_onto(Matrix::new(narrow, inputs), onto);
                }
            }
        }
        for (at, bias) in self.biases() {
            for (over, found) in over.chunks_exact(tokens * outputs).zip(found.chunks_exact_mut(width)) {
                let mut sums = vec![0.0; outputs];
                slopes::column_sums(over, &mut sums);
                found[at] += sums.iter().zip(bias).map(|(sum, bias)| sum * bias).sum::<f32>();
            }
        }
    }
}

/// Every row times its gate.
fn scale_rows(values: &mut [f32], rows: usize, gate: &impl Fn(usize, usize) -> f32) {
    let width = (values.len() / rows.max(1)).max(1);
    for (row, values) in values.chunks_exact_mut(width).enumerate() {
        let share = gate(row, 0);
        for x in values {
            *x *= share;
        }
    }
}
