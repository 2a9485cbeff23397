#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
use super::*;
use crate::http::server_status::{EngineStatus, LaneStatus, TenantStatus, Totals};

/// Returns a server with three tenants and two lanes that has been up for `uptime_s` and read `pages`.
fn status(uptime_s: f64, pages: u64) -> ServerStatus {
    let tenant = |name: &str, waiting: u64| TenantStatus {
        tenant: name.to_owned(),
        weight: 1,
        documents: 2,
        documents_waiting: waiting,
        pages_running: 1,
        pages_ended: pages,
        held_bytes: 12_300_000,
        pending_work_s: 3.5,
        ..TenantStatus::default()
    };
    let lane = |model: &str, queued: u64| LaneStatus {
        model: model.to_owned(),
        variant: "openvino/bf16".to_owned(),
        sessions: 2,
        queued,
        running: 2,
        backlog_s: 0.5,
        runs: 4 * pages,
        rows: 40 * pages,
        busy_s: pages as f64 / 2.0,
        waits: pages,
        waited_s: pages as f64 / 8.0,
    };
    ServerStatus {
        version: "1.2.3".to_owned(),
        uptime_s,
        documents: Used { now: 6, max: 64 },
        page_slots: Used { now: 3, max: 4 },
        held_bytes: Used { now: 37_000_000, max: 3_000_000_000 },
        totals: Totals { pages_ok: pages, ..Totals::default() },
        tenants: vec![tenant("acme", 0), tenant("globex", 5), tenant("initech", 0)],
        tenants_idle: 7,
        lanes: vec![lane("det", 0), lane("rec", 9)],
        engines: vec![EngineStatus {
            model: "det".to_owned(),
            serving: "openvino/bf16".to_owned(),
            ..EngineStatus::default()
        }],
        ..ServerStatus::default()
    }
}

fn screen() -> Screen {
    let mut screen = Screen::new("http://127.0.0.1:8080".to_owned(), Duration::from_secs(1));
    let start = Instant::now();
    screen.answered(Sample { status: status(100.0, 10), at: start });
    screen.answered(Sample { status: status(102.0, 14), at: start + Duration::from_secs(2) });
    screen
}

/// Draws in a terminal of this size, and returns its text.
fn drawn(screen: &mut Screen, width: usize, height: usize) -> String {
    let frame = screen.fitted(width, height);
    let drawn = frame.drawn(width, height);
    assert!(drawn.matches("\r\n").count() < height.max(1), "{drawn}");
    let mut text = String::new();
    for piece in drawn.replace("\r\n", "\n").split("\x1b[") {
        // Behind the parameters of a control sequence.
        text.push_str(
            piece.trim_start_matches(|c: char| c.is_ascii_digit() || c == ';').get(1..).unwrap_or(""),
        );
    }
    assert!(text.lines().all(|line| line.chars().count() <= width), "{text}");
    text
}

/// Returns the words of the line that begins with `name`.
fn words(text: &str, name: &str) -> String {
    let mut lines = text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "));
    lines.find(|line| line.starts_with(name)).unwrap_or_else(|| panic!("no line of {name} in\n{text}"))
}

#[test]
fn one_frame_has_the_whole_state_as_text() {
    let text = screen().whole(100).plain();
    assert!(text.starts_with("lector 1.2.3 at http://127.0.0.1:8080, up 102 s, serving\n"), "{text}");
    assert!(text.contains("pages 2.0/s  failed 0.0/s"), "{text}");
    assert!(text.contains("page slots █████████░░░ 3 of 4"), "{text}");
    assert!(text.contains("37 MB of 3.0 GB"), "{text}");
    assert_eq!(words(&text, "5 documents"), "5 documents of globex wait for a place in the tenant's share.");
    assert_eq!(words(&text, "9 runs"), "9 runs wait for 2 sessions of rec, 50 % busy: about 500 ms.");
    assert_eq!(words(&text, "globex"), "globex 1 0 2 +5 1 2.0 3.5 s 12 MB");
    assert_eq!(words(&text, "rec"), "rec openvino/bf16 2 2 +9 50 % 8.0 80.0 125 ms");
    assert_eq!(words(&text, "det openvino/bf16 -"), "det openvino/bf16 -");
    assert!(text.contains("Tenants, 7 without work"), "{text}");
    // Every row, whatever the size of the terminal.
    let mut many = Screen::new("http://a".to_owned(), Duration::from_secs(1));
    let mut status = status(1.0, 0);
    let one = status.tenants[0].clone();
    status.tenants = (0..150).map(|n| TenantStatus { tenant: format!("t{n}"), ..one.clone() }).collect();
    many.answered(Sample { status, at: Instant::now() });
    let text = many.whole(100).plain();
    assert!((0..150).all(|n| text.contains(&format!("t{n} "))), "{text}");
    assert!(text.contains("pages -  failed -"), "no rate is known yet: {text}");
}

#[test]
fn the_view_fits_any_terminal() {
    let mut screen = screen();
    for (width, height) in [(200, 60), (100, 30), (80, 24), (40, 12), (20, 5), (3, 2), (1, 1), (0, 0)] {
        drawn(&mut screen, width, height);
    }
    let text = drawn(&mut screen, 80, 24);
    assert!(text.contains("Tenants") && text.contains("Lanes") && text.contains("Engines"), "{text}");
    // A small one has the selected table alone.
    let text = drawn(&mut screen, 80, 15);
    assert!(text.contains("Tenants") && !text.contains("Lanes"), "{text}");
    screen.on_key(Key::Next);
    let text = drawn(&mut screen, 80, 15);
    assert!(!text.contains("Tenants") && text.contains("Lanes"), "{text}");
}

#[test]
fn keys_select_and_scroll_a_table_and_end_the_view() {
    let mut screen = screen();
    // Six lines of the head, three of the waits, and two of three tenants.
    let height = 6 + 3 + TABLE_FRAME + 2;
    let text = drawn(&mut screen, 100, height);
    assert!(text.contains("Tenants 1 to 2 of 3") && text.contains("acme "), "{text}");
    for key in [Key::Down, Key::Down, Key::PageDown] {
        assert_eq!(screen.on_key(key), Flow::Continue);
    }
    let text = drawn(&mut screen, 100, height);
    assert!(text.contains("Tenants 2 to 3 of 3") && !text.contains("acme "), "not beyond the end: {text}");
    // One step back is one row, although the keys went further than the table.
    screen.on_key(Key::Up);
    assert!(drawn(&mut screen, 100, height).contains("Tenants 1 to 2 of 3"));
    screen.on_key(Key::PageDown);
    screen.on_key(Key::Home);
    assert!(drawn(&mut screen, 100, height).contains("Tenants 1 to 2 of 3"));
    for (key, selected) in [(Key::Next, 1), (Key::Next, 2), (Key::Next, 0), (Key::Previous, 2)] {
        screen.on_key(key);
        assert_eq!(screen.selected, selected, "{key:?}");
    }
    assert_eq!(screen.on_key(Key::Quit), Flow::Quit);
}

#[test]
fn a_server_that_goes_away_is_shown_with_its_last_state() {
    let mut screen = Screen::new("http://a".to_owned(), Duration::from_secs(1));
    let error = anyhow::anyhow!("connection refused");
    screen.is_away(&error, Instant::now());
    let text = drawn(&mut screen, 80, 24);
    assert!(text.starts_with("NO ANSWER for 0 s, asked every 1 s: connection refused"), "{text}");
    let start = Instant::now();
    screen.answered(Sample { status: status(10.0, 10), at: start });
    assert!(drawn(&mut screen, 80, 24).starts_with("lector 1.2.3 at http://a"));
    let since = Instant::now() - Duration::from_secs(7);
    screen.is_away(&error, since);
    screen.is_away(&error, Instant::now());
    let text = drawn(&mut screen, 80, 24);
    assert!(text.starts_with("NO ANSWER for 7 s") && text.contains("globex"), "{text}");
    // After a restart the counts begin again: no rate until the next answer.
    screen.answered(Sample { status: status(1.0, 2), at: start + Duration::from_secs(20) });
    assert!(drawn(&mut screen, 80, 24).contains("pages -"));
    screen.answered(Sample { status: status(2.0, 3), at: start + Duration::from_secs(21) });
    assert!(drawn(&mut screen, 80, 24).contains("pages 1.0/s"));
}
