//! How much room there is, and what the frame of the screen takes of it.

use ratatui::layout::Rect;

/// Classes of terminal size; screens choose their layout by them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Room {
    /// Below 20×5: nothing but a request to enlarge the window.
    Tiny,
    /// Below 60×16: one pane at a time, no frames.
    Compact,
    Normal,
    /// From 110×30: side by side.
    Wide,
}

impl Room {
    /// The class of a terminal's size.
    #[must_use]
    pub fn of((width, height): (u16, u16)) -> Self {
        match (width, height) {
            (..20, _) | (_, ..5) => Self::Tiny,
            (..60, _) | (_, ..16) => Self::Compact,
            (110.., 30..) => Self::Wide,
            _ => Self::Normal,
        }
    }
}

/// The terminal divided: one line of tabs, the screen, one line of hints.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Frame {
    pub tabs: Rect,
    pub screen: Rect,
    pub footer: Rect,
}

impl Frame {
    #[must_use]
    pub fn of(area: Rect) -> Self {
        let line = |y, height: u16| Rect { y, height: height.min(area.height), ..area };
        let tabs = line(area.y, 1);
        let footer = line(area.bottom().saturating_sub(1).max(area.y), u16::from(area.height > 1));
        let screen = line(area.y + tabs.height, area.height.saturating_sub(tabs.height + footer.height));
        Self { tabs, screen, footer }
    }
}

/// A box of at most `width`×`height` in the middle of `area`.
#[must_use]
pub fn centred(area: Rect, width: u16, height: u16) -> Rect {
    let (width, height) = (width.min(area.width), height.min(area.height));
    Rect { x: area.x + (area.width - width) / 2, y: area.y + (area.height - height) / 2, width, height }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_frame_covers_any_area_without_overlap() {
        for height in 0..40 {
            let area = Rect::new(0, 0, 80, height);
            let Frame { tabs, screen, footer } = Frame::of(area);
            assert_eq!(tabs.height + screen.height + footer.height, height);
            assert!(tabs.bottom() <= screen.y && screen.bottom() <= footer.y.max(screen.bottom()));
            assert!(footer.bottom() <= height.max(1));
        }
    }

    #[test]
    fn breakpoints_are_where_they_are_promised() {
        assert_eq!(Room::of((0, 0)), Room::Tiny);
        assert_eq!(Room::of((20, 4)), Room::Tiny);
        assert_eq!(Room::of((50, 15)), Room::Compact);
        assert_eq!(Room::of((80, 24)), Room::Normal);
        assert_eq!(Room::of((120, 40)), Room::Wide);
    }
}
