//! A soak under mixed attack: a victim with letters, pages that models read, and jobs, for minutes, while one group of
//! attacks after another runs beside it. Nothing of the victim's may fail, be refused or get lost, and memory stays flat.
//!
//! `cargo xtask bench soak --minutes 30` runs it long and prints a line each minute; in the suite it runs each group for a
//! second or two.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use lector_tests::pdf::{self, PageSpec};
use lector_tests::{Answer, HANG, process, quantile};
use reqwest::Method;
use rustix::process::Signal;

use super::arena::{Arena, Attack};
use super::{connections, control, documents, files};

/// Time of a group of attacks in the long form, after which the next one begins.
const GROUP: Duration = Duration::from_secs(20);
/// The same in the suite.
const GROUP_SHORT: Duration = Duration::from_millis(1_500);
/// Time of the quiet run, in the long form and in the suite.
const QUIET: Duration = Duration::from_secs(60);
const QUIET_SHORT: Duration = Duration::from_secs(3);
/// Pause between two requests of each kind of the victim.
const PAUSE: Duration = Duration::from_millis(20);
/// Pages of each job of the victim.
const JOB_PAGES: usize = 5;
/// Interval between two kills of a render worker.
const KILL_EVERY: Duration = Duration::from_secs(1);
/// Memory by which the last third of a long run may exceed the middle third: allocators keep some of what a wave of bombs
/// needed.
const GROWTH_MAX: u64 = 128 << 20;

/// `tiny` for the victim: letters by their embedded text, pages by models; `echo`, `drawn` and the deployments of guests that
/// misbehave for the attackers.
const CONFIG: &str = r#"
[http]
connections_max = 256
[platform]
default_deployment = "echo"
[[deployments]]
name = "echo"
component = "guest/target/components/echo.wasm"
[[deployments]]
name = "drawn"
component = "guest/target/components/echo.wasm"
settings = { mood = "render" }
[[deployments]]
name = "tiny"
component = "guest/target/components/standard.wasm"
settings = { tier = "tiny", page_orientation = false, line_orientation = false }
[deployments.grants]
detection-tiny = "pp-ocrv6-tiny-det"
recognition-tiny = "pp-ocrv6-tiny-rec"
"#;

/// Misbehaviors of guests (`tests/guests/hostile`), each a deployment of that name, and its path.
const BEHAVIORS: [(&str, &str); 5] = [
    ("spin-in-recognize", "/api/v1/deployments/spin-in-recognize/ocr"),
    ("memory", "/api/v1/deployments/memory/ocr"),
    ("panic", "/api/v1/deployments/panic/ocr"),
    ("huge-reply", "/api/v1/deployments/huge-reply/ocr"),
    ("call-storm", "/api/v1/deployments/call-storm/ocr"),
];

/// Groups of attacks.
const GROUPS: usize = 6;
/// Number of the group with the documents that are larger or slower than they look.
const DOCUMENTS: usize = 2;

fn config() -> String {
    let hostile = BEHAVIORS.map(|(behavior, _)| {
        format!(
            "[[deployments]]\nname = \"{behavior}\"\ncomponent = \"guest/target/components/hostile.wasm\"\n\
             settings = {{ behavior = \"{behavior}\" }}\n[deployments.budget]\nwall_ms = 20000\ncompute_ms = 300\n\
             memory_bytes = 67108864\nhandles = 100\nhost_bytes = 67108864\nhost_calls = 20000\n\
             [deployments.grants]\nmodel = \"pp-ocrv6-tiny-det\"\n"
        )
    });
    format!("{CONFIG}{}", hostile.concat())
}

/// The minutes of the long form.
fn minutes() -> Option<f64> {
    std::env::var_os("LECTOR_SOAK_MINUTES")?.to_str()?.parse().ok()
}

/// What the victim has seen.
#[derive(Default)]
struct Tally {
    /// Milliseconds of each letter, and of each page that models read.
    letters: Vec<f64>,
    pages: Vec<f64>,
    jobs: usize,
    /// Requests and pages whose render worker was killed by the attack of that name.
    killed: usize,
    /// Everything else that was not as in the quiet run.
    wrong: Vec<String>,
}

impl Tally {
    fn failed(&mut self, what: String) {
        // The code of a request whose worker died: `page_crashed`, `document_open_crashed`.
        if what.contains("_crashed\"") {
            self.killed += 1;
        } else {
            self.wrong.push(what);
        }
    }

    fn add(&mut self, other: Tally) {
        self.letters.extend(other.letters);
        self.pages.extend(other.pages);
        self.jobs += other.jobs;
        self.killed += other.killed;
        self.wrong.extend(other.wrong);
    }
}

/// A document of the victim, with its path and a text that its result must contain.
struct Reading {
    path: &'static str,
    body: Vec<u8>,
    text: &'static str,
}

/// Reads a document again and again; `add` gets the milliseconds of each.
async fn readings(
    arena: &Arena,
    reading: &Reading,
    running: impl Fn() -> bool,
    tally: &Mutex<Tally>,
    add: fn(&mut Tally, f64),
) {
    while running() {
        let began = Instant::now();
        let request = arena.gateway.pdf(reading.path, &*reading.body).bearer_auth(&arena.victim);
        let outcome = match request.send().await {
            Ok(response) => Ok(Answer::read(response).await),
            Err(error) => Err(error),
        };
        let took = began.elapsed().as_secs_f64() * 1e3;
        let failure = match outcome {
            Ok(answer) if answer.status == 200 && answer.text().contains(reading.text) => None,
            Ok(answer) => Some(format!("{}: {} {}", reading.path, answer.status, answer.text())),
            Err(error) => Some(format!("{}: no response: {error:?}", reading.path)),
        };
        match failure {
            None => add(&mut tally.lock().unwrap(), took),
            Some(failure) => tally.lock().unwrap().failed(failure),
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// Submits a job again and again, waits for its end, and compares its result.
async fn jobs(arena: &Arena, running: impl Fn() -> bool, tally: &Mutex<Tally>) {
    let mut number = 0;
    while running() {
        number += 1;
        let title = |page: usize| format!("Job {number} sheet {page}");
        let pages: Vec<PageSpec> =
            (1..=JOB_PAGES).map(|page| PageSpec::a4(&[title(page).as_str()])).collect();
        let request =
            arena.gateway.pdf("/api/v1/jobs?deployment=tiny&text_layer=only", pdf::document(&pages));
        let submitted = match request.bearer_auth(&arena.victim).send().await {
            Ok(response) => Answer::read(response).await,
            Err(error) => {
                tally.lock().unwrap().failed(format!("a job was not answered: {error:?}"));
                continue;
            }
        };
        if submitted.status != 202 {
            tally.lock().unwrap().failed(format!("a job: {} {}", submitted.status, submitted.text()));
            tokio::time::sleep(PAUSE).await;
            continue;
        }
        // Acknowledged: from here on nothing of it may be lost.
        let id = submitted.json()["id"].as_str().unwrap().to_owned();
        let path = format!("/api/v1/jobs/{id}");
        let end = Instant::now() + HANG;
        let job = loop {
            let job = arena.ask(&arena.victim, Method::GET, &path, None).await;
            if job.status == 200 && job.json()["finished_at"].is_string() {
                break job.json();
            }
            if Instant::now() > end {
                break job.json();
            }
            tokio::time::sleep(PAUSE).await;
        };
        let result = arena.ask(&arena.victim, Method::GET, &format!("{path}/result"), None).await;
        let missing: Vec<usize> =
            (1..=JOB_PAGES).filter(|&page| !result.text().contains(&title(page))).collect();
        let mut tally = tally.lock().unwrap();
        tally.jobs += 1;
        if job["state"] != "succeeded" || !missing.is_empty() {
            tally.failed(format!("job {number}: pages {missing:?} are missing: {job} {}", result.text()));
        }
    }
}

/// Runs the victim until `running` is false.
async fn victim(arena: &Arena, running: impl Fn() -> bool) -> Tally {
    let letter = Reading {
        path: "/api/v1/deployments/tiny/ocr?text_layer=only",
        body: pdf::document(&[PageSpec::a4(&["A letter like any other"])]),
        text: "A letter like any other",
    };
    let page = Reading {
        path: "/api/v1/deployments/tiny/ocr?text_layer=never",
        body: pdf::document(&[PageSpec::a4(&["Sheet of models", "with a second line"])]),
        text: "second line",
    };
    let tally = Mutex::new(Tally::default());
    tokio::join!(
        readings(arena, &letter, &running, &tally, |tally, took| tally.letters.push(took)),
        readings(arena, &page, &running, &tally, |tally, took| tally.pages.push(took)),
        jobs(arena, &running, &tally),
    );
    let mut tally = tally.into_inner().unwrap();
    tally.letters.sort_by(f64::total_cmp);
    tally.pages.sort_by(f64::total_cmp);
    tally
}

/// Returns the attacks of a group, which run at once.
fn group(number: usize, arena: &Arc<Arena>, second: &str) -> (&'static str, Vec<Attack>) {
    let unnamed = |attacks: Vec<(&'static str, Attack)>| -> Vec<Attack> {
        attacks.into_iter().map(|(_, attack)| attack).collect()
    };
    let keys = || vec![arena.attacker.clone(), second.to_owned()];
    let pdf = "application/pdf";
    match number % GROUPS {
        0 => ("connections", unnamed(connections::attacks(arena))),
        1 => ("HTTP/2", unnamed(connections::http2_attacks(arena))),
        DOCUMENTS => ("documents", unnamed(documents::attacks(arena))),
        3 => {
            let tiles = vec![(pdf, files::tiling())];
            let slow = documents::post_as(arena.clone(), keys(), documents::DRAWN_PATH, tiles);
            ("slow renders of two tenants", vec![Box::pin(slow) as Attack])
        }
        4 => {
            let page = pdf::document(&[PageSpec::a4(&["a page"])]);
            let of = |(_, path): (&str, &'static str)| {
                Box::pin(documents::flood(arena.clone(), keys(), path, vec![(pdf, page.clone())])) as Attack
            };
            ("guests that misbehave", BEHAVIORS.map(of).into())
        }
        _ => {
            let mut attacks: Vec<Attack> = unnamed(control::attacks(arena));
            attacks.push(Box::pin(kills(arena.clone())));
            ("requests and killed workers", attacks)
        }
    }
}

/// Kills a render worker now and then. Returns the number of kills.
async fn kills(arena: Arc<Arena>) -> u64 {
    let mut killed = 0;
    while !arena.is_over() {
        let workers: Vec<u32> = process::descendants(arena.gateway.pid())
            .into_iter()
            .filter(|pid| {
                let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
                String::from_utf8_lossy(&line).contains("render-worker")
            })
            .collect();
        if let Some(&worker) = workers.get(killed as usize % workers.len().max(1)) {
            process::signal(worker, Signal::KILL);
            killed += 1;
            arena.killed();
        }
        tokio::time::sleep(KILL_EVERY).await;
    }
    killed
}

/// The state of the server's process.
fn state(arena: &Arena) -> String {
    let pid = arena.gateway.pid();
    let workers: u64 = process::descendants(pid).into_iter().map(process::resident).sum();
    format!(
        "RSS {} MiB, workers {} MiB, {} descriptors, {} code mappings",
        process::resident(pid) >> 20,
        workers >> 20,
        process::fds(pid),
        process::code_mappings(pid)
    )
}

fn line(name: &str, tally: &Tally, quiet: &Tally) -> String {
    let of = |now: &[f64], alone: &[f64]| {
        let at = |share: f64| {
            let (now, alone) = (quantile(now, share), quantile(alone, share));
            format!("{now:.0} ms ({:.2})", now / alone)
        };
        format!("{} p50 {} p99 {}", now.len(), at(0.5), at(0.99))
    };
    format!(
        "{name}: letters {}; pages {}; {} jobs; {} hit by a kill, {} wrong",
        of(&tally.letters, &quiet.letters),
        of(&tally.pages, &quiet.pages),
        tally.jobs,
        tally.killed,
        tally.wrong.len()
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn a_soak_under_mixed_attack_loses_nothing() {
    let long = minutes();
    let arena = Arena::start_unready_with(|builder| {
        let builder = builder.config(config()).set("documents.render_timeout_s", 3);
        builder.set("documents.open_timeout_s", 3).set("jobs.disk_free_bytes_min", 0)
    })
    .await;
    let second = arena.tenant("second").await;
    // Warms up: engines, code, connections.
    let running_for = |time: Duration| {
        let end = Instant::now() + time;
        move || Instant::now() < end
    };
    victim(&arena, running_for(Duration::from_secs(1))).await;
    let quiet = victim(&arena, running_for(if long.is_some() { QUIET } else { QUIET_SHORT })).await;
    eprintln!("{}; {}", line("quiet", &quiet, &quiet), state(&arena));
    assert!(quiet.wrong.is_empty() && quiet.killed == 0, "the quiet run: {:?}", quiet.wrong);
    assert!(
        !quiet.letters.is_empty() && !quiet.pages.is_empty() && quiet.jobs > 0,
        "the quiet run read nothing"
    );

    let each = if long.is_some() { GROUP } else { GROUP_SHORT };
    let groups =
        long.map_or(GROUPS, |minutes| ((minutes * 60.0 / each.as_secs_f64()).ceil() as usize).max(GROUPS));
    let (mut all, mut resident) = (Tally::default(), Vec::new());
    let began = Instant::now();
    for number in 0..groups {
        // Each of its documents is sent at least once, which takes half a minute; `documents::bombs` does that in the suite.
        if long.is_none() && number == DOCUMENTS {
            continue;
        }
        arena.begin();
        let (name, attacks) = group(number, &arena, &second);
        let attacks: Vec<_> = attacks.into_iter().map(tokio::spawn).collect();
        let tally = victim(&arena, running_for(each)).await;
        arena.end();
        let mut attempts = 0;
        for attack in attacks {
            let ended = tokio::time::timeout(HANG, attack).await;
            attempts += ended.expect("the attack ends").expect("no panic of an attack");
        }
        assert!(attempts > 0, "{name}: nothing was attempted");
        resident.push(process::resident(arena.gateway.pid()));
        let minute = began.elapsed().as_secs_f64() / 60.0;
        eprintln!(
            "{minute:>5.1} min, {attempts:>7} attempts of {}; {}",
            line(name, &tally, &quiet),
            state(&arena)
        );
        tally.wrong.iter().take(3).for_each(|wrong| eprintln!("  wrong: {wrong:.600}"));
        all.add(tally);
    }
    all.letters.sort_by(f64::total_cmp);
    all.pages.sort_by(f64::total_cmp);
    eprintln!("{}; {} kills; {}", line("all", &all, &quiet), arena.kills(), state(&arena));
    assert!(
        all.wrong.is_empty(),
        "{} of the victim's requests or jobs: {:.2000}",
        all.wrong.len(),
        all.wrong[0]
    );
    // A kill costs what its worker was doing for the victim: an open or a page of a letter, a page of models, and pages of
    // a job.
    let killed_max = arena.kills() as usize * 3;
    assert!(all.killed <= killed_max, "{} failed by {} kills", all.killed, arena.kills());
    // Nothing is left: the next reading is as the first.
    arena.settled().await;
    let after = victim(&arena, running_for(if long.is_some() { QUIET } else { QUIET_SHORT })).await;
    eprintln!("{}; {}", line("quiet again", &after, &quiet), state(&arena));
    assert!(after.wrong.is_empty() && after.killed == 0, "after the attacks: {:?}", after.wrong);
    let peak =
        |from: usize, to: usize| resident.get(from..to).into_iter().flatten().max().copied().unwrap_or(0);
    let third = resident.len() / 3;
    let (middle, end) = (peak(third, 2 * third), peak(2 * third, resident.len()));
    assert!(
        long.is_none() || end <= middle + GROWTH_MAX,
        "memory grows: {} MiB in the middle third, {} MiB in the last",
        middle >> 20,
        end >> 20
    );
}
