//! The handover of a server to its successor: a second process of the same command line, which may be a newer program.
//!
//! Owns the channel between the two, and the sockets that cross it. The order is in `cli/serve`:
//!
//! 1. The predecessor starts the successor and passes its listening sockets; it goes on to serve.
//! 2. The successor starts everything that needs no data folder, and reports that it is prepared. If it does not, the
//!    predecessor stays, and nothing has changed.
//! 3. The predecessor takes no connection any more, finishes what it has begun, and ends. Its end frees the locks of the
//!    data folder: never do two servers use one.
//! 4. The successor opens the data folder and serves. New connections have waited in the backlog of the socket.

use std::ffi::OsString;
use std::io::{self, IoSlice, IoSliceMut, Read, Write};
use std::mem::MaybeUninit;
use std::net::TcpListener;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, bail};
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags,
};

/// The flag of a successor.
pub const FLAG: &str = "--successor";
/// Longest preparation of a successor: it loads the engines of all models.
pub const PREPARED_WITHIN: Duration = Duration::from_secs(180);
/// Most sockets that cross: those of `http.listen` and of `http.metrics_listen`.
const SOCKETS_MAX: usize = 2;
/// What a prepared successor sends.
const PREPARED: u8 = b'P';

/// The listening sockets of a server.
#[derive(Debug)]
pub struct Sockets {
    /// That of `http.listen`.
    pub public: TcpListener,
    /// That of `http.metrics_listen`.
    pub metrics: Option<TcpListener>,
}

/// The command line with which this process was started, for its successor.
#[derive(Clone, Debug)]
pub struct CommandLine {
    program: PathBuf,
    arguments: Vec<OsString>,
}

impl CommandLine {
    /// Returns that of this process. Called at the start: later the file of the program may be another one, or gone.
    pub fn of_this_process() -> io::Result<Self> {
        let mut arguments = std::env::args_os();
        let named = arguments.next().map(PathBuf::from);
        // A path is kept as it is, so that a link to the current version leads to the next one.
        let program = match named.filter(|program| program.components().count() > 1) {
            Some(program) => std::path::absolute(program)?,
            None => std::env::current_exe()?,
        };
        let arguments = arguments.filter(|argument| argument.as_os_str() != FLAG).collect();
        Ok(Self { program, arguments })
    }
}

/// A successor that was started. Dropping it ends it, unless it has [taken over](Successor::takes_over).
#[derive(Debug)]
pub struct Successor {
    child: Option<Child>,
    channel: tokio::net::UnixStream,
}

impl Successor {
    /// Starts the successor, and passes the sockets. `ends_within`: the longest time from its report to the end of this
    /// process. Within a tokio runtime.
    pub fn start(command: &CommandLine, sockets: &Sockets, ends_within: Duration) -> anyhow::Result<Self> {
        let channel = || -> io::Result<_> {
            let (own, other) = UnixStream::pair()?;
            own.set_nonblocking(true)?;
            Ok((own.try_clone()?, tokio::net::UnixStream::from_std(own)?, other))
        };
        let (sender, channel, other) = channel().context("making the channel to the successor")?;
        let child = Command::new(&command.program)
            .args(&command.arguments)
            .arg(FLAG)
            .stdin(Stdio::from(OwnedFd::from(other)))
            .spawn()
            .with_context(|| format!("starting the successor {}", command.program.display()))?;
        let successor = Self { child: Some(child), channel };
        // A few bytes, for which the buffer of the channel has room.
        send(&sender, sockets, ends_within).context("passing the sockets to the successor")?;
        Ok(successor)
    }

    /// Returns its process id.
    pub fn pid(&self) -> Option<u32> {
        self.child.as_ref().map(Child::id)
    }

    /// Waits until the successor is prepared. Fails if it ends before, or takes longer than `within`.
    pub async fn prepared(&mut self, within: Duration) -> anyhow::Result<()> {
        let mut byte = [0];
        let read = tokio::io::AsyncReadExt::read(&mut self.channel, &mut byte);
        match tokio::time::timeout(within, read).await {
            Ok(Ok(1)) if byte == [PREPARED] => Ok(()),
            Ok(_) => bail!("the successor ended before it was prepared: its log names the reason"),
            Err(_) => bail!("the successor was not prepared within {} s", within.as_secs()),
        }
    }

    /// Lets the successor live on when this is dropped.
    pub fn takes_over(mut self) {
        self.child = None;
    }
}

impl Drop for Successor {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            // It ends at once: its memory is freed by the system.
            let _ = child.wait();
        }
    }
}

/// The predecessor of this process, which waits for the report that this process is prepared.
#[derive(Debug)]
pub struct Predecessor {
    channel: UnixStream,
    ends_within: Duration,
}

impl Predecessor {
    /// Takes the channel, which is the standard input of a successor, and the sockets.
    pub fn of_this_process() -> anyhow::Result<(Self, Sockets)> {
        let stdin = io::stdin().as_fd().try_clone_to_owned().context("reading the standard input")?;
        let channel = UnixStream::from(stdin);
        let (sockets, ends_within) = receive(&channel).with_context(|| {
            format!("taking the sockets of the predecessor: {FLAG} is set by a server that is replaced")
        })?;
        Ok((Self { channel, ends_within }, sockets))
    }

    /// Reports that this process is prepared; returns the longest time until the predecessor has ended.
    pub fn report_prepared(mut self) -> anyhow::Result<Duration> {
        self.channel.write_all(&[PREPARED]).context("reporting to the predecessor")?;
        Ok(self.ends_within)
    }
}

fn send(channel: &UnixStream, sockets: &Sockets, ends_within: Duration) -> io::Result<()> {
    let ms = u64::try_from(ends_within.as_millis()).unwrap_or(u64::MAX).to_le_bytes();
    let descriptors: Vec<BorrowedFd<'_>> =
        std::iter::once(&sockets.public).chain(&sockets.metrics).map(AsFd::as_fd).collect();
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(SOCKETS_MAX))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    ancillary.push(SendAncillaryMessage::ScmRights(&descriptors));
    // The descriptors cross with the first byte.
    let (first, rest) = ms.split_at(1);
    rustix::net::sendmsg(channel, &[IoSlice::new(first)], &mut ancillary, SendFlags::NOSIGNAL)?;
    (&*channel).write_all(rest)
}

fn receive(channel: &UnixStream) -> anyhow::Result<(Sockets, Duration)> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(SOCKETS_MAX))];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    let mut ms = [0; 8];
    let (first, rest) = ms.split_at_mut(1);
    let mut into = [IoSliceMut::new(first)];
    let message = rustix::net::recvmsg(channel, &mut into, &mut ancillary, RecvFlags::CMSG_CLOEXEC)?;
    if message.bytes != 1 {
        bail!("the channel is closed");
    }
    let mut received = Vec::new();
    for part in ancillary.drain() {
        if let RecvAncillaryMessage::ScmRights(rights) = part {
            received.extend(rights.map(TcpListener::from));
        }
    }
    (&*channel).read_exact(rest)?;
    let mut received = received.into_iter();
    let public = received.next().context("no socket came with the message")?;
    Ok((Sockets { public, metrics: received.next() }, Duration::from_millis(u64::from_le_bytes(ms))))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    #[test]
    fn sockets_cross_the_channel() {
        let (near, far) = UnixStream::pair().unwrap();
        let bind = || TcpListener::bind("127.0.0.1:0").unwrap();
        for metrics in [None, Some(bind())] {
            let sockets = Sockets { public: bind(), metrics };
            let address = |socket: &TcpListener| socket.local_addr().unwrap();
            send(&near, &sockets, Duration::from_millis(1234)).unwrap();
            let (received, within) = receive(&far).unwrap();
            assert_eq!(
                (address(&received.public), within),
                (address(&sockets.public), Duration::from_millis(1234))
            );
            assert_eq!(received.metrics.as_ref().map(address), sockets.metrics.as_ref().map(address));
            // The backlog outlives the first holder of the socket.
            let client = std::net::TcpStream::connect(address(&sockets.public)).unwrap();
            drop(sockets);
            assert_eq!(received.public.accept().unwrap().1, client.local_addr().unwrap());
        }
        drop(near);
        assert!(receive(&far).is_err());
    }

    fn command(script: &str) -> CommandLine {
        CommandLine { program: "/bin/sh".into(), arguments: vec!["-c".into(), script.into()] }
    }

    #[tokio::test]
    async fn a_successor_that_ends_or_hangs_is_an_error() {
        let sockets = Sockets { public: TcpListener::bind("127.0.0.1:0").unwrap(), metrics: None };
        let start = |script| Successor::start(&command(script), &sockets, Duration::ZERO).unwrap();
        let minute = Duration::from_secs(60);
        assert!(
            start("head -c 8 >/dev/null; exit 3")
                .prepared(minute)
                .await
                .unwrap_err()
                .to_string()
                .contains("ended")
        );
        let mut hangs = start("exec sleep 600");
        let pid = hangs.pid().unwrap();
        assert!(hangs.prepared(Duration::from_millis(50)).await.unwrap_err().to_string().contains("within"));
        drop(hangs);
        assert!(!PathBuf::from(format!("/proc/{pid}")).exists(), "it is ended");
        let mut answers = start("head -c 8 >/dev/null; printf P >&0");
        answers.prepared(minute).await.unwrap();
    }
}
