//! YAML that strangers wrote: data, and nothing but data. What could make a short text large (aliases), or run code in
//! other readers (tags), is refused, with its line; so is what has two meanings (a key twice).

use super::error::Fault;
use super::node::{Key, Kind, Node, shortened};
use crate::engine::Position;
use granit_parser::{Event, Options, Parser, ScalarStyle, Span, Tag};

/// Levels that lists and maps may be nested.
const DEEPEST: usize = 24;
/// Values in a file.
const MOST: usize = 100_000;
/// Documents in a file.
const DOCUMENTS: usize = 256;

/// The documents of a file; empty ones are left out.
pub(super) fn read(text: &str) -> Result<Vec<Node>, Fault> {
    let mut options = Options::default();
    options.disallow_directives = true;
    options.flow_nesting_limit = DEEPEST;
    options.block_nesting_limit = DEEPEST;
    let mut builder = Builder { text, ..Builder::default() };
    for event in Parser::new_from_str_with_options(text, options) {
        let (event, span) = event.map_err(|error| {
            let marker = error.marker();
            let at = marker
                .byte_offset()
                .map_or(Position { line: marker.line(), column: marker.col() + 1 }, |byte| Position::of(text, byte));
            Fault::at(at, format!("this is not YAML: {}", error.info()))
                .hint("check indentation and quotes on this line and the one before")
        })?;
        builder.take(event, &span)?;
    }
    Ok(builder.documents)
}

/// Puts events together.
#[derive(Default)]
struct Builder<'t> {
    text: &'t str,
    documents: Vec<Node>,
    /// Lists and maps that are not finished.
    open: Vec<(Node, Option<Key>)>,
    nodes: usize,
    /// A document has begun, and nothing of it has come.
    empty: bool,
}

impl Builder<'_> {
    fn at(&self, span: &Span) -> Position {
        span.start.byte_offset().map_or(Position { line: span.start.line(), column: span.start.col() + 1 }, |byte| {
            Position::of(self.text, byte)
        })
    }

    fn take(&mut self, event: Event<'_>, span: &Span) -> Result<(), Fault> {
        let at = self.at(span);
        match event {
            Event::StreamStart | Event::StreamEnd => Ok(()),
            Event::DocumentStart(..) => {
                self.empty = true;
                if self.documents.len() >= DOCUMENTS {
                    return Err(Fault::at(at, format!("more than {DOCUMENTS} documents in one file")));
                }
                Ok(())
            }
            Event::DocumentEnd => Ok(()),
            Event::Scalar(text, style, anchor, tag) => {
                self.check(at, anchor, tag.as_deref())?;
                let plain = style == ScalarStyle::Plain;
                self.add(Node { at, kind: Kind::Scalar { text: text.into_owned(), plain } })
            }
            Event::SequenceStart(_, anchor, tag) => {
                self.check(at, anchor, tag.as_deref())?;
                self.begin(Node { at, kind: Kind::List(Vec::new()) })
            }
            Event::MappingStart(_, anchor, tag) => {
                self.check(at, anchor, tag.as_deref())?;
                self.begin(Node { at, kind: Kind::Map(Vec::new()) })
            }
            Event::SequenceEnd | Event::MappingEnd => match self.open.pop() {
                Some((node, _)) => self.add(node),
                None => Err(Fault::at(at, "this is not YAML: something ends that has not begun")),
            },
            // Aliases; nothing else is left that carries data.
            _ => Err(Fault::at(at, "aliases (`*name`) are not read: a few lines of them can stand for gigabytes")
                .hint("write the value out where it is wanted")),
        }
    }

    /// Refuses anchors and tags, and counts.
    fn check(&mut self, at: Position, anchor: usize, tag: Option<&Tag>) -> Result<(), Fault> {
        self.nodes += 1;
        if self.nodes > MOST {
            return Err(Fault::at(at, format!("more than {MOST} values in one file")));
        }
        if let Some(tag) = tag {
            let tag = shortened(&tag.original());
            return Err(Fault::at(at, format!("the tag `{tag}` is not read: tags make other programs run code"))
                .hint("write the plain value; quote it if it is meant as text"));
        }
        if anchor != 0 {
            return Err(Fault::at(
                at,
                "anchors (`&name`) are not read: a few lines of aliases can stand for gigabytes",
            )
            .hint("write the value out where it is wanted"));
        }
        Ok(())
    }

    fn begin(&mut self, node: Node) -> Result<(), Fault> {
        if self.open.len() >= DEEPEST {
            return Err(node.fault(format!("nested deeper than {DEEPEST} levels")));
        }
        self.open.push((node, None));
        Ok(())
    }

    fn add(&mut self, node: Node) -> Result<(), Fault> {
        let Some((parent, key)) = self.open.last_mut() else {
            let first = std::mem::take(&mut self.empty);
            // Nothing between two `---` is no document.
            if first && !node.is_null() {
                self.documents.push(node);
            }
            return Ok(());
        };
        match (&mut parent.kind, key.take()) {
            (Kind::List(items), _) => items.push(node),
            (Kind::Map(fields), Some(name)) => fields.push((name, node)),
            (Kind::Map(fields), None) => {
                let Kind::Scalar { text, .. } = &node.kind else {
                    return Err(node.fault("a list or map cannot be a key"));
                };
                if text == "<<" {
                    return Err(node.fault("merge keys (`<<`) are not read").hint("write the fields out"));
                }
                if let Some((first, _)) = fields.iter().find(|(key, _)| key.text == *text) {
                    return Err(node
                        .fault(format!("the key `{}` stands twice, first in line {}", shortened(text), first.at.line))
                        .hint("other readers silently take the last: keep the one that is meant"));
                }
                *key = Some(Key { text: text.clone(), at: node.at });
            }
            (Kind::Scalar { .. }, _) => {}
        }
        Ok(())
    }
}
