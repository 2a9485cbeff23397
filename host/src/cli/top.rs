//! `lector top`: a live view of a server: tenants, queues, lanes, engines, workers, guests, throughput, and the waits.
//!
//! Owns the arguments and the requests. `top/sample.rs` computes rates and waits from two states of the server,
//! `top/screen.rs` makes a picture of them (`top/tables.rs`, `top/frame.rs`), `top/view.rs` owns the terminal, and
//! `top/keys.rs` reads its keys. A server that goes away is shown as such and asked again.

mod figures;
mod frame;
mod keys;
mod sample;
mod screen;
mod tables;
mod view;

use std::io::{self, IsTerminal};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use reqwest::Method;
use tokio::io::AsyncReadExt;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::MissedTickBehavior;

use super::failure::Failure;
use super::runtime::on_runtime;
use super::server_client::Server;
use super::terminal;
use crate::config::Config;
use crate::http::server_status::ServerStatus;
use crate::shutdown::Signals;
use keys::keys;
use sample::Sample;
use screen::{Flow, Screen};
use view::View;

/// Longest wait for an answer of the server.
const TIMEOUT: Duration = Duration::from_secs(5);
/// Width of the frame of `--once`.
const WIDTH: usize = 100;

/// Arguments.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Print one frame as text, of the rates within one interval, and end
    #[arg(long)]
    once: bool,
    /// Seconds between two requests to the server
    #[arg(long, value_name = "SECONDS", default_value_t = 1.0)]
    interval: f64,
}

pub(super) fn run(args: &Args, config: &Config) -> Result<ExitCode, Failure> {
    let interval = args.checked().map_err(Failure::Usage)?;
    // Without a log: its lines would destroy the view.
    on_runtime(async {
        let server = Server::of(&config.client)?;
        let screen = Screen::new(config.client.server.clone(), interval);
        match args.once {
            true => once(&server, screen, interval).await?,
            false => live(&server, screen, interval).await?,
        }
        Ok(ExitCode::SUCCESS)
    })
}

impl Args {
    fn checked(&self) -> anyhow::Result<Duration> {
        ensure!(
            (0.1..=3600.0).contains(&self.interval),
            "--interval {}: write seconds, from 0.1 to 3600",
            self.interval
        );
        let on_a_terminal = io::stdout().is_terminal() && io::stdin().is_terminal();
        if !self.once && !on_a_terminal {
            bail!("lector top needs a terminal: use `lector top --once` to print one frame");
        }
        Ok(Duration::from_secs_f64(self.interval))
    }
}

/// Asks the server for its state.
async fn sample(server: &Server<'_>) -> anyhow::Result<Sample> {
    let request = server.at(Method::GET, "/admin/status").timeout(TIMEOUT);
    let status = server.json(request).await?.context("the server sent no state")?;
    let status: ServerStatus =
        serde_json::from_value(status).context("the answer is not the state of a server")?;
    Ok(Sample { status, at: Instant::now() })
}

/// Returns whether there was no answer: a server that starts or restarts answers later, one that refuses does not.
fn is_away(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| cause.is::<reqwest::Error>())
}

async fn once(server: &Server<'_>, mut screen: Screen, interval: Duration) -> anyhow::Result<()> {
    screen.answered(sample(server).await?);
    tokio::time::sleep(interval).await;
    screen.answered(sample(server).await?);
    terminal::print(&screen.whole(WIDTH).plain())
}

async fn live(server: &Server<'_>, mut screen: Screen, interval: Duration) -> anyhow::Result<()> {
    // A server that refuses this caller is told on a plain terminal.
    match sample(server).await {
        Ok(sample) => screen.answered(sample),
        Err(error) if is_away(&error) => screen.is_away(&error, Instant::now()),
        Err(error) => return Err(error),
    }
    let mut signals = Signals::catch().context("catching signals")?;
    let mut resized = signal(SignalKind::window_change()).context("catching signals")?;
    let view = View::enter().context("preparing the terminal")?;
    let (mut input, mut bytes) = (tokio::io::stdin(), [0; 256]);
    let mut ticks = tokio::time::interval_at(tokio::time::Instant::now() + interval, interval);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    // Asked beside the drawing: keys work while a server does not answer.
    let mut asked = None;
    loop {
        view.show(|width, height| screen.fitted(width, height)).context("drawing")?;
        tokio::select! {
            _ = signals.stop() => return Ok(()),
            // Drawn again in the new size.
            _ = resized.recv() => {}
            _ = ticks.tick(), if asked.is_none() => asked = Some(Box::pin(sample(server))),
            Some(answer) = answered(&mut asked) => {
                asked = None;
                match answer {
                    Ok(sample) => screen.answered(sample),
                    Err(error) => screen.is_away(&error, Instant::now()),
                }
            }
            read = input.read(&mut bytes) => {
                let read = read.context("reading keys")?;
                let keys = keys(bytes.get(..read).unwrap_or_default());
                // The end of the input is that of the terminal.
                if read == 0 || keys.into_iter().any(|key| screen.on_key(key) == Flow::Quit) {
                    return Ok(());
                }
            }
        }
    }
}

/// Waits for the answer to a request; `None` without one.
async fn answered<F: Future + Unpin>(asked: &mut Option<F>) -> Option<F::Output> {
    match asked {
        Some(asked) => Some(asked.await),
        None => None,
    }
}
