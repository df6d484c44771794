//! Tensors by their dotted names, as a tree whose branches open and close.

use crate::tui::catalog::TensorFacts;
use std::collections::BTreeSet;

/// Paths of the branches that are open.
pub type Open = BTreeSet<String>;

/// One visible line of the tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// Full dotted path: the tensor's name, or the branch's prefix.
    pub path: String,
    /// What to show: the part of the path below its parent; a branch with one child is joined with it.
    pub label: String,
    pub depth: usize,
    /// For a branch: whether it is open. For a tensor: nothing.
    pub open: Option<bool>,
    /// Tensors below, or 1.
    pub tensors: usize,
    /// Elements of all tensors below.
    pub elements: usize,
    /// Index of the tensor, for a tensor.
    pub tensor: Option<usize>,
}

/// The visible lines, depth first, in the tensors' own order.
#[must_use]
pub fn lines(tensors: &[TensorFacts], open: &Open) -> Vec<Line> {
    let mut lines = Vec::new();
    let all: Vec<usize> = (0..tensors.len()).collect();
    branch(tensors, &all, "", 0, open, &mut lines);
    lines
}

/// A child of a branch: one tensor, or a deeper branch with its members.
enum Child<'a> {
    Tensor(usize),
    Branch(&'a str, Vec<usize>),
}

/// Adds the lines of the tensors `members`, whose names all begin with `prefix`.
fn branch(tensors: &[TensorFacts], members: &[usize], prefix: &str, depth: usize, open: &Open, lines: &mut Vec<Line>) {
    let mut children: Vec<Child<'_>> = Vec::new();
    for &member in members {
        let Some((head, _)) = tensors[member].name[prefix.len()..].split_once('.') else {
            children.push(Child::Tensor(member));
            continue;
        };
        let known = children.iter_mut().find_map(|child| match child {
            Child::Branch(name, list) if *name == head => Some(list),
            _ => None,
        });
        match known {
            Some(list) => list.push(member),
            None => children.push(Child::Branch(head, vec![member])),
        }
    }
    for child in children {
        let (head, list) = match child {
            Child::Branch(head, list) if list.len() > 1 => (head, list),
            // A branch that leads to one tensor is not worth a line of its own.
            Child::Tensor(only) => {
                lines.push(tensor_line(tensors, only, prefix, depth));
                continue;
            }
            Child::Branch(_, list) => {
                lines.extend(list.first().map(|&only| tensor_line(tensors, only, prefix, depth)));
                continue;
            }
        };
        let mut path = format!("{prefix}{head}");
        while let Some(longer) = only_child(tensors, &list, &path) {
            path = longer;
        }
        let is_open = open.contains(&path);
        lines.push(Line {
            label: path[prefix.len()..].to_owned(),
            path: path.clone(),
            depth,
            open: Some(is_open),
            tensors: list.len(),
            elements: list.iter().map(|&at| tensors[at].elements).sum(),
            tensor: None,
        });
        if is_open {
            branch(tensors, &list, &format!("{path}."), depth + 1, open, lines);
        }
    }
}

fn tensor_line(tensors: &[TensorFacts], at: usize, prefix: &str, depth: usize) -> Line {
    let TensorFacts { name, elements, .. } = &tensors[at];
    let label = name[prefix.len()..].to_owned();
    Line { path: name.clone(), label, depth, open: None, tensors: 1, elements: *elements, tensor: Some(at) }
}

/// The path of the one branch below `path` that holds all of `members`, if there is one.
fn only_child(tensors: &[TensorFacts], members: &[usize], path: &str) -> Option<String> {
    let head =
        |at: usize| tensors[at].name.strip_prefix(path)?.strip_prefix('.')?.split_once('.').map(|(head, _)| head);
    let first = head(*members.first()?)?;
    members.iter().all(|&at| head(at) == Some(first)).then(|| format!("{path}.{first}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::weights::DType;

    fn tensors(names: &[&str]) -> Vec<TensorFacts> {
        let facts = |name: &&str| TensorFacts {
            name: (*name).to_owned(),
            shape: vec![2, 5],
            dtype: DType::F16,
            elements: 10,
            group: 0,
        };
        names.iter().map(facts).collect()
    }

    const NAMES: [&str; 5] = [
        "vision.embed.class",
        "vision.encoder.layers.0.q.weight",
        "vision.encoder.layers.0.q.bias",
        "vision.encoder.layers.1.q.weight",
        "head",
    ];

    fn shown(open: &[&str]) -> Vec<String> {
        let open = open.iter().map(|&path| path.to_owned()).collect();
        let line = |line: Line| format!("{}{} {}", " ".repeat(line.depth), line.label, line.elements);
        lines(&tensors(&NAMES), &open).into_iter().map(line).collect()
    }

    #[test]
    fn closed_branches_sum_up_what_is_below() {
        assert_eq!(shown(&[]), ["vision 40", "head 10"]);
        assert_eq!(shown(&["vision"]), ["vision 40", " embed.class 10", " encoder.layers 30", "head 10"]);
    }

    #[test]
    fn chains_are_joined_and_lone_tensors_stand_for_their_branch() {
        let open = ["vision", "vision.encoder.layers", "vision.encoder.layers.0.q"];
        assert_eq!(
            shown(&open)[2..],
            [" encoder.layers 30", "  0.q 20", "   weight 10", "   bias 10", "  1.q.weight 10", "head 10"]
        );
    }

    #[test]
    fn odd_names_do_no_harm() {
        for names in [&["", ".", "..", "a.", "a"][..], &["a", "a.b", "a.b.c"], &["", "é.", "é.a", "é.b.c"]] {
            let facts = tensors(names);
            let mut open = Open::new();
            for _ in 0..6 {
                open.extend(lines(&facts, &open).into_iter().map(|line| line.path));
            }
            assert_eq!(
                lines(&facts, &open).iter().filter(|line| line.tensor.is_some()).count(),
                names.len(),
                "{names:?}"
            );
        }
    }
}
