//! The session loop against a recording terminal and a scripted engine.

use super::*;
use crate::engine::{Event, JobKind, RunId};
use crate::tui::catalog::fixture;
use crate::tui::model::Screen;
use crate::tui::term::ansi::Ansi;
use crate::tui::term::caps::Caps;
use crate::tui::theme::load::built_in;
use crossterm::event::{KeyEvent, KeyModifiers, MouseButton, MouseEvent, MouseEventKind};
use ratatui::buffer::Cell;
use std::cell::RefCell;
use std::future::Future;
use std::rc::Rc;
use std::sync::Arc;
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};

/// A terminal emulator that counts what it is sent.
struct Terminal {
    parser: vt100::Parser,
    ansi: Ansi<Pipe>,
    bytes: Rc<RefCell<Vec<u8>>>,
    /// Bytes of every frame.
    frames: Vec<usize>,
    log: Vec<String>,
    size: Size,
    /// Takes nothing for now.
    stalled: bool,
}

struct Pipe(Rc<RefCell<Vec<u8>>>);

impl io::Write for Pipe {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.borrow_mut().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[derive(Clone)]
struct Shared(Rc<RefCell<Terminal>>);

impl Surface for Shared {
    fn size(&self) -> Size {
        self.0.borrow().size
    }

    fn is_busy(&self) -> bool {
        self.0.borrow().stalled
    }

    fn frame(
        &mut self,
        size: Size,
        cells: &[(u16, u16, &Cell)],
        clear: bool,
        cursor: Option<Position>,
    ) -> io::Result<()> {
        let mut terminal = self.0.borrow_mut();
        terminal.ansi.frame(size, cells, clear, cursor)?;
        let bytes = terminal.bytes.take();
        terminal.frames.push(bytes.len());
        terminal.parser.process(&bytes);
        Ok(())
    }

    fn send(&mut self, sequence: &str) -> io::Result<()> {
        self.0.borrow_mut().log.push(sequence.to_owned());
        Ok(())
    }

    fn capture_mouse(&mut self, on: bool) -> io::Result<()> {
        self.0.borrow_mut().log.push(format!("mouse {on}"));
        Ok(())
    }

    fn suspend(&mut self) -> io::Result<()> {
        self.0.borrow_mut().log.push("suspend".to_owned());
        Ok(())
    }

    fn resume(&mut self) -> io::Result<()> {
        self.0.borrow_mut().log.push("resume".to_owned());
        Ok(())
    }
}

/// Notes what it was asked to do; an engine that cancels every job at once, so that nothing is ever going on.
struct Notes(Rc<RefCell<Vec<String>>>, UnboundedSender<Msg>);

impl Outside for Notes {
    fn perform(&mut self, effect: Effect) {
        self.0.borrow_mut().push(format!("{effect:?}"));
        if let Effect::Submit(run, _) = effect {
            self.1.send(Msg::Engine(Event::Cancelled { run })).unwrap();
        }
    }
}

/// The one who sits in front of it.
struct Person {
    terminal: Shared,
    effects: Rc<RefCell<Vec<String>>>,
    input: UnboundedSender<io::Result<Input>>,
    messages: UnboundedSender<Msg>,
    signals: UnboundedSender<Signal>,
}

impl Person {
    fn press(&self, keys: &str) {
        for key in keys.split(' ') {
            let chord = crate::tui::key::Chord::parse(key).unwrap();
            self.input.send(Ok(Input::Key(KeyEvent::new(chord.code, chord.modifiers)))).unwrap();
        }
    }

    fn mouse(&self, kind: MouseEventKind, (column, row): (u16, u16)) {
        self.input.send(Ok(Input::Mouse(MouseEvent { kind, column, row, modifiers: KeyModifiers::NONE }))).unwrap();
    }

    fn click(&self, at: (u16, u16)) {
        self.mouse(MouseEventKind::Down(MouseButton::Left), at);
        self.mouse(MouseEventKind::Up(MouseButton::Left), at);
    }

    fn text(&self) -> String {
        self.terminal.0.borrow().parser.screen().contents()
    }

    /// Where a text stands.
    fn find(&self, text: &str) -> (u16, u16) {
        let contents = self.terminal.0.borrow().parser.screen().rows(0, 500).collect::<Vec<_>>();
        let row = contents
            .iter()
            .position(|row| row.contains(text))
            .unwrap_or_else(|| panic!("no {text} in\n{}", self.text()));
        let before = contents[row].split(text).next().unwrap();
        (before.chars().count() as u16, row as u16)
    }

    async fn sees(&self, text: &str) {
        self.waits(|screen| screen.contains(text), text).await;
    }

    async fn sees_no(&self, text: &str) {
        self.waits(|screen| !screen.contains(text), &format!("no {text}")).await;
    }

    async fn waits(&self, condition: impl Fn(&str) -> bool, what: &str) {
        for _ in 0..1000 {
            if condition(&self.text()) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        panic!("waited in vain for {what} in\n{}", self.text());
    }

    fn frames(&self) -> usize {
        self.terminal.0.borrow().frames.len()
    }
}

const CAPS: fn() -> Caps = || {
    Caps::detect(|name| match name {
        "TERM" => Some("xterm-256color".into()),
        "COLORTERM" => Some("truecolor".into()),
        "LANG" => Some("C.UTF-8".into()),
        _ => None,
    })
};

/// Runs a session with somebody who does as `script` says; gives how it ended and the model.
fn play<F: Future<Output = Person>>(width: u16, height: u16, script: impl FnOnce(Person) -> F) -> (Exit, Model) {
    let (input, mut events) = unbounded_channel();
    play_with(width, height, input, futures_util::stream::poll_fn(move |cx| events.poll_recv(cx)), script)
}

/// The same with input from elsewhere; what the person presses goes to `keys`.
fn play_with<F: Future<Output = Person>>(
    width: u16,
    height: u16,
    keys: UnboundedSender<io::Result<Input>>,
    input: impl Stream<Item = io::Result<Input>> + Unpin,
    script: impl FnOnce(Person) -> F,
) -> (Exit, Model) {
    let size = Size { width, height };
    let bytes = Rc::default();
    let terminal = Shared(Rc::new(RefCell::new(Terminal {
        parser: vt100::Parser::new(height.max(1), width.max(1), 0),
        ansi: Ansi::new(Pipe(Rc::clone(&bytes))),
        bytes,
        frames: Vec::new(),
        log: Vec::new(),
        size,
        stalled: false,
    })));
    let (messages, mut inbox) = unbounded_channel();
    let (signals, mut caught) = unbounded_channel();
    let effects = Rc::default();
    let answers = messages.clone();
    let person = Person { terminal: terminal.clone(), effects: Rc::clone(&effects), input: keys, messages, signals };
    let mut model = Model::new(Arc::new(fixture::catalog()), (width, height));
    model.themes = built_in().into_iter().map(|theme| theme.name).collect();
    let look = Look { themes: built_in(), caps: CAPS() };
    let mut session = Session::new(model, look, terminal, Notes(effects, answers), Duration::from_millis(33));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let exit = runtime.block_on(async {
        let signals = futures_util::stream::poll_fn(move |cx| caught.poll_recv(cx));
        let session = tokio::time::timeout(Duration::from_secs(20), session.run(input, signals, &mut inbox));
        let (exit, _person) = tokio::join!(session, script(person));
        exit.expect("the session ends").unwrap()
    });
    (exit, session.model)
}

#[test]
fn keys_switch_screens_and_quit() {
    let (exit, model) = play(100, 30, |person| async move {
        person.sees("2 Tune").await;
        person.press("1");
        person.press("7");
        person.sees("combines fine-tuned").await;
        person.press("q");
        person
    });
    assert_eq!((exit, model.screen), (Exit::Quit, Screen::Help));
}

#[test]
fn the_palette_finds_and_runs_a_command() {
    let (_, model) = play(100, 30, |person| async move {
        person.press(":");
        person.sees("Commands").await;
        person.press("h i s t");
        person.sees("Go to History").await;
        person.press("enter");
        person.sees_no("Commands").await;
        person.press("q");
        person
    });
    assert_eq!(model.screen, Screen::History);
}

#[test]
fn tabs_and_hints_can_be_clicked() {
    let (exit, model) = play(100, 30, |person| async move {
        person.sees("4 Compare").await;
        person.click(person.find("4 Compare"));
        person.press("?");
        person.sees("Keys").await;
        person.click((0, 5));
        person.sees_no("Keys").await;
        person.click(person.find("quit"));
        person
    });
    assert_eq!((exit, model.screen), (Exit::Quit, Screen::Compare));
}

#[test]
fn nothing_is_sent_while_nothing_changes() {
    play(120, 40, |person| async move {
        person.sees("2 Tune").await;
        tokio::time::sleep(Duration::from_millis(50)).await;
        let before = person.frames();
        // Things that happen but do not show.
        person.messages.send(Msg::Tick(Duration::from_secs(1))).unwrap();
        person.press("f9");
        person.mouse(MouseEventKind::Moved, (3, 3));
        tokio::time::sleep(Duration::from_millis(400)).await;
        assert_eq!(person.frames(), before);
        person.press("q");
        person
    });
}

#[test]
fn a_stalled_terminal_gets_one_frame_of_how_things_are_when_it_goes_on() {
    play(100, 30, |person| async move {
        person.sees("2 Tune").await;
        tokio::time::sleep(Duration::from_millis(100)).await;
        person.terminal.0.borrow_mut().stalled = true;
        let before = person.frames();
        for key in ["1", "3", "4", "7"] {
            person.press(key);
            tokio::time::sleep(Duration::from_millis(40)).await;
        }
        assert_eq!(person.frames(), before);
        person.terminal.0.borrow_mut().stalled = false;
        person.sees("combines fine-tuned").await;
        assert_eq!(person.frames(), before + 1);
        person.press("q");
        person
    });
}

/// crossterm's input stream keeps the waker of the first poll that finds nothing and ignores later ones.
#[test]
fn keys_are_heard_from_a_stream_that_keeps_its_first_waker() {
    let (sender, receiver) = std::sync::mpsc::channel::<io::Result<Input>>();
    let waker: Arc<std::sync::Mutex<Option<std::task::Waker>>> = Arc::default();
    let kept = Arc::clone(&waker);
    let input = futures_util::stream::poll_fn(move |cx| match receiver.try_recv() {
        Ok(event) => Poll::Ready(Some(event)),
        Err(_) => {
            kept.lock().unwrap().get_or_insert_with(|| cx.waker().clone());
            Poll::Pending
        }
    });
    std::thread::spawn(move || {
        for code in ['1', '3', '7', 'q'] {
            std::thread::sleep(Duration::from_millis(150));
            let key = KeyEvent::new(crossterm::event::KeyCode::Char(code), KeyModifiers::NONE);
            sender.send(Ok(Input::Key(key))).unwrap();
            if let Some(waker) = waker.lock().unwrap().take() {
                waker.wake();
            }
        }
        // Gone only after the session has read the last key.
        std::thread::sleep(Duration::from_secs(5));
    });
    let (exit, model) = play_with(100, 30, unbounded_channel().0, input, |person| async move { person });
    assert_eq!((exit, model.screen), (Exit::Quit, Screen::Help));
}

#[test]
fn a_notice_goes_away_by_itself() {
    play(100, 30, |person| async move {
        let text = "written to /tmp/x.svg";
        person.messages.send(Msg::Notice { text: text.into(), error: false }).unwrap();
        person.sees(text).await;
        tokio::time::sleep(Duration::from_millis(4100)).await;
        person.sees_no(text).await;
        person.press("q");
        person
    });
}

#[test]
fn a_storm_of_events_is_drawn_at_a_bounded_rate_and_input_gets_through() {
    play(120, 40, |person| async move {
        person.sees("2 Tune").await;
        let (before, began) = (person.frames(), Instant::now());
        for at in 0..2000_u64 {
            person.messages.send(Msg::Notice { text: format!("event {at}"), error: false }).unwrap();
            if at % 20 == 0 {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        }
        let most = 3 + (began.elapsed().as_millis() / 33) as usize + 2;
        assert!(person.frames() - before <= most, "{} frames, at most {most}", person.frames() - before);
        person.press("7");
        person.sees("7 Help").await;
        person.press("q");
        person
    });
}

#[test]
fn ctrl_c_cancels_then_asks_then_quits() {
    let (exit, _) = play(100, 30, |person| async move {
        person.press("ctrl-c");
        person.sees("Quit fusebench?").await;
        person.press("n");
        person.sees_no("Quit fusebench?").await;
        person.press("ctrl-c ctrl-c");
        person
    });
    assert_eq!(exit, Exit::Quit);
}

#[test]
fn the_mouse_can_be_left_to_the_terminal() {
    play(100, 30, |person| async move {
        person.press("M");
        person.sees("mouse left to the terminal").await;
        assert_eq!(person.terminal.0.borrow().log, ["mouse false"]);
        person.press("q");
        person
    });
}

#[test]
fn suspending_and_coming_back_draws_everything_again() {
    play(100, 30, |person| async move {
        person.sees("2 Tune").await;
        let whole = person.terminal.0.borrow().frames[0];
        person.press("ctrl-z");
        person.waits(|_| person.frames() >= 2, "a new frame").await;
        assert_eq!(person.terminal.0.borrow().log, ["suspend"]);
        assert!(person.terminal.0.borrow().frames[1] * 10 >= whole * 9);
        // Our own stop is followed by SIGCONT, which changes nothing; one out of the blue takes the terminal again.
        person.signals.send(Signal::Continue).unwrap();
        person.signals.send(Signal::Continue).unwrap();
        person.waits(|_| person.terminal.0.borrow().log.len() == 2, "resume").await;
        assert_eq!(person.terminal.0.borrow().log, ["suspend", "resume"]);
        person.press("q");
        person
    });
}

#[test]
fn signals_end_the_session_and_the_state_is_stored_first() {
    let stored = Rc::new(RefCell::new(Vec::new()));
    let seen = Rc::clone(&stored);
    let (exit, _) = play(100, 30, |person| async move {
        person.press("5");
        tokio::time::sleep(Duration::from_millis(20)).await;
        person.signals.send(Signal::Terminate(15)).unwrap();
        for _ in 0..1000 {
            tokio::time::sleep(Duration::from_millis(1)).await;
            if person.effects.borrow().iter().any(|effect| effect.starts_with("Persist")) {
                break;
            }
        }
        seen.borrow_mut().clone_from(&person.effects.borrow());
        person
    });
    assert_eq!(exit, Exit::Signal(15));
    assert!(
        stored.borrow().iter().any(|effect| effect.starts_with("Persist") && effect.contains("History")),
        "{stored:?}"
    );
}

#[test]
fn a_terminal_that_goes_away_ends_the_session() {
    let (exit, _) = play(100, 30, |person| async move {
        person.input.send(Err(io::Error::other("gone"))).unwrap();
        person
    });
    assert_eq!(exit, Exit::Hangup);
}

#[test]
fn what_was_remembered_comes_back_unless_a_person_was_faster() {
    let remembered =
        || Msg::Remembered { key: "ui".into(), json: r#"{"screen":"Browse","theme":"light","tune":{}}"#.into() };
    let (_, model) = play(100, 30, |person| async move {
        person.messages.send(remembered()).unwrap();
        person.sees("1 Browse").await;
        person.press("q");
        person
    });
    assert_eq!((model.screen, model.themes[model.theme].as_str()), (Screen::Browse, "light"));
    let (_, model) = play(100, 30, |person| async move {
        person.press("5");
        person.sees("5 History").await;
        person.messages.send(remembered()).unwrap();
        person.messages.send(Msg::Remembered { key: "ui".into(), json: "{".into() }).unwrap();
        tokio::time::sleep(Duration::from_millis(20)).await;
        person.press("q");
        person
    });
    assert_eq!(model.screen, Screen::History);
}

#[test]
fn every_size_and_screen_is_drawn_without_harm() {
    let look = Look { themes: built_in(), caps: CAPS() };
    let mut hits = HitMap::default();
    let mut model = Model::new(Arc::new(fixture::catalog()), (0, 0));
    let mut widths: Vec<u16> =
        (0..=24).chain([30, 40, 50, 58, 59, 60, 61, 79, 80, 100, 109, 110, 120, 160, 200, 300]).collect();
    widths.dedup();
    let heights: Vec<u16> = (0..=18).chain([24, 29, 30, 40, 60, 100]).collect();
    for screen in Screen::ALL {
        model.screen = screen;
        for overlay in 0..4 {
            open(&mut model, overlay);
            for &width in &widths {
                for &height in &heights {
                    model.size = (width, height);
                    let mut buffer = Buffer::empty(Rect::new(0, 0, width, height));
                    let cursor = view::draw(&model, &look, &mut buffer, &mut hits);
                    assert!(cursor.is_none_or(|at| at.x < width && at.y < height));
                }
            }
            model.overlay = None;
        }
    }
}

/// Opens the overlay with this number, none for 0.
fn open(model: &mut Model, overlay: usize) {
    let id = match overlay {
        1 => "help",
        2 => "palette",
        3 => "interrupt",
        _ => return,
    };
    update(model, Msg::Command(id), &mut Vec::new());
    assert!(model.overlay.is_some());
}

#[test]
fn a_terminal_of_no_size_is_survived_and_can_grow() {
    play(0, 0, |person| async move {
        tokio::time::sleep(Duration::from_millis(20)).await;
        person.terminal.0.borrow_mut().parser.screen_mut().set_size(24, 80);
        person.input.send(Ok(Input::Resize(80, 24))).unwrap();
        person.sees("2 Tune").await;
        person.press("q");
        person
    });
}

#[test]
fn the_engine_is_heard() {
    let (_, model) = play(120, 30, |person| async move {
        person.sees("starting").await;
        let event = Event::Device { name: "cpu, 2 threads".into(), reason: None };
        person.messages.send(Msg::Engine(event)).unwrap();
        person.sees("cpu, 2 threads").await;
        let run = RunId(7);
        person.messages.send(Msg::Engine(Event::Queued { run, kind: JobKind::Run, position: 0 })).unwrap();
        let failed =
            Event::Failed { run, error: "out of memory".into(), hint: "use fewer experts".into(), input: false };
        person.messages.send(Msg::Engine(failed)).unwrap();
        person.sees("out of memory (use fewer experts)").await;
        person.press("q");
        person
    });
    assert!(!model.runs.is_active());
}
