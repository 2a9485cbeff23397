//! Measures documents: `measure <folder of libpdfium.so> [dpi] <file>...` opens each file, reads the text layer of and
//! renders up to five pages, and prints the best of several rounds.
//!
//! Requires the example `render_worker` beside it (`cargo build --release -p lector-document --examples`).
#![allow(clippy::print_stdout, clippy::unwrap_used, clippy::expect_used, clippy::disallowed_methods)]

#[path = "shared/config.rs"]
mod config;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use lector_core::fair::Account;
use lector_core::{Documents, Fault};
use lector_document::{DocumentConfig, DocumentWorkers};

const ROUNDS: usize = 5;
const TENANT_CHANGES: u32 = 40;

fn main() {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(measure());
}

async fn measure() {
    let mut arguments = std::env::args().skip(1).peekable();
    let pdfium_dir = PathBuf::from(arguments.next().expect("the folder of libpdfium.so"));
    let dpi = arguments.next_if(|a| a.parse::<f32>().is_ok()).map_or(200.0, |a| a.parse().unwrap());
    let config = DocumentConfig {
        open_timeout: Duration::from_secs(10),
        text_timeout: Duration::from_secs(10),
        render_timeout: Duration::from_secs(30),
        ..config::config(pdfium_dir)
    };
    for _ in 0..3 {
        let began = Instant::now();
        let workers = DocumentWorkers::start(config.clone()).await.unwrap();
        println!("start to ready {:.1} ms", ms(began));
        workers.shutdown().await;
    }
    let workers = DocumentWorkers::start(config).await.unwrap();
    println!("sandbox: {}", workers.status().sandbox.unwrap());
    println!(
        "{:<44} {:>4} {:>6} {:>8} {:>7} {:>7} {:>9}",
        "file", "page", "open", "text", "words", "render", "pixels"
    );
    for file in arguments {
        let bytes = Arc::new(std::fs::read(&file).unwrap());
        let name = file.rsplit('/').next().unwrap_or(&file);
        if let Err(fault) = one(&workers, name, &bytes, dpi).await {
            println!("{name:<44} {fault}");
        }
    }
    let status = workers.status();
    println!("answered {}, respawns {}", status.answered, status.respawns);
    let began = Instant::now();
    let pid = rustix::process::Pid::from_raw(i32::try_from(status.pids()[0]).unwrap()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
    let pdf: &[u8] = b"%PDF-1.4";
    while workers.status().pids() == status.pids() {
        let _ =
            workers.open(Account::new("tenant".into(), 1), Arc::new(pdf.to_vec()), Default::default()).await;
    }
    println!("killed to serving again {:.1} ms", ms(began));
    let began = Instant::now();
    for round in 0..TENANT_CHANGES {
        let account = Account::new(if round % 2 == 0 { "a" } else { "b" }.into(), 1);
        // Refused after the new process has read it, which takes no time beside the start.
        let _ = workers.open(account, Arc::new(pdf.to_vec()), Default::default()).await;
    }
    println!("change of tenant {:.1} ms", ms(began) / f64::from(TENANT_CHANGES));
    workers.shutdown().await;
}

async fn one(workers: &DocumentWorkers, name: &str, bytes: &Arc<Vec<u8>>, dpi: f32) -> Result<(), Fault> {
    let mut best: Vec<[f64; 3]> = Vec::new();
    let mut facts: Vec<(usize, u64)> = Vec::new();
    for _ in 0..ROUNDS {
        let began = Instant::now();
        let document =
            workers.open(Account::new("tenant".into(), 1), bytes.clone(), Default::default()).await?;
        let open = ms(began);
        for index in 0..document.page_count().min(5) {
            let page = document.page(index).await?;
            let began = Instant::now();
            let layer = page.text_layer().await?;
            let text = ms(began);
            let began = Instant::now();
            let image = page.render(page.info().native_dpi.unwrap_or(dpi), 100_000_000).await?;
            let render = ms(began);
            let place = index as usize;
            if best.len() <= place {
                best.push([f64::INFINITY; 3]);
                facts.push((layer.spans.len(), image.size().pixels()));
            }
            for (slot, value) in best[place].iter_mut().zip([open, text, render]) {
                *slot = slot.min(value);
            }
        }
    }
    for (index, (times, (words, pixels))) in best.iter().zip(&facts).enumerate() {
        let [open, text, render] = times;
        println!("{name:<44} {index:>4} {open:>6.1} {text:>8.2} {words:>7} {render:>7.1} {pixels:>9}");
    }
    Ok(())
}

fn ms(began: Instant) -> f64 {
    began.elapsed().as_secs_f64() * 1e3
}
