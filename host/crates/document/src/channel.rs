//! Frames over the socket pair between the host and one worker: four bytes of length, then postcard.
//!
//! Independent of the content of frames. The host's end has a receive timeout of one [`TICK`], so that a waiting worker
//! supervisor can check its deadline; the worker's end waits without a timeout.

use std::io::{IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use rustix::io::Errno;
use rustix::net::sockopt::{Timeout, set_socket_timeout};
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, SocketFlags, SocketType,
};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// Longest wait of the host for bytes before it checks its deadline.
pub(crate) const TICK: Duration = Duration::from_millis(20);
/// Longest time that a worker may leave a request unread. Requests are small and fit into the socket's buffer, so only
/// a stopped worker reaches this limit.
const SEND_TIMEOUT: Duration = Duration::from_secs(5);
/// Largest frame in bytes. The text layer of a page is the largest: words with boxes, bounded by `Limits`.
const FRAME_BYTES_MAX: u32 = 64 << 20;
/// Largest number of descriptors sent with one frame.
const DESCRIPTORS_MAX: usize = 1;
/// Largest buffer allocated ahead of the bytes received.
const CHUNK_BYTES: usize = 256 << 10;

#[derive(Debug, thiserror::Error)]
pub(crate) enum ChannelError {
    #[error("the other end closed the socket")]
    Closed,
    #[error("the wait for a frame ended")]
    GaveUp,
    #[error("a frame of {0} bytes exceeds the limit")]
    TooLong(u64),
    #[error("the frame cannot be decoded: {0}")]
    Undecodable(#[from] postcard::Error),
    #[error("the socket failed: {0}")]
    Socket(#[from] Errno),
}

pub(crate) struct Channel {
    socket: OwnedFd,
}

impl Channel {
    /// Creates two connected ends: the host's, and the worker's for the standard input of a child.
    pub(crate) fn pair() -> Result<(Channel, OwnedFd), Errno> {
        let (host, worker) =
            rustix::net::socketpair(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
        set_socket_timeout(&host, Timeout::Recv, Some(TICK))?;
        set_socket_timeout(&host, Timeout::Send, Some(SEND_TIMEOUT))?;
        Ok((Channel { socket: host }, worker))
    }

    /// Creates the worker's end.
    pub(crate) fn over(socket: OwnedFd) -> Channel {
        Channel { socket }
    }

    /// Sends one frame, with a descriptor if there is one.
    pub(crate) fn send(
        &self,
        message: &impl Serialize,
        fd: Option<BorrowedFd<'_>>,
    ) -> Result<(), ChannelError> {
        let mut frame = postcard::to_extend(message, vec![0; 4])?;
        let length = frame.len() - 4;
        let length = u32::try_from(length).ok().filter(|n| *n <= FRAME_BYTES_MAX);
        let length = length.ok_or(ChannelError::TooLong(frame.len() as u64))?;
        if let Some(head) = frame.get_mut(..4) {
            head.copy_from_slice(&length.to_le_bytes());
        }
        let mut fd = fd;
        let mut rest = frame.as_slice();
        while !rest.is_empty() {
            let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS_MAX))];
            let mut ancillary = SendAncillaryBuffer::new(&mut space);
            let rights: &[BorrowedFd<'_>] = fd.as_slice();
            if !rights.is_empty() {
                ancillary.push(SendAncillaryMessage::ScmRights(rights));
            }
            let sent = rustix::net::sendmsg(
                &self.socket,
                &[IoSlice::new(rest)],
                &mut ancillary,
                SendFlags::NOSIGNAL,
            );
            match sent {
                Ok(sent) => {
                    fd = None;
                    rest = rest.get(sent..).unwrap_or_default();
                }
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return Err(ChannelError::GaveUp),
                Err(Errno::PIPE | Errno::CONNRESET) => return Err(ChannelError::Closed),
                Err(other) => return Err(other.into()),
            }
        }
        Ok(())
    }

    /// Receives one frame. Calls `go_on` before each read of the socket, which on the host's end is at least once per
    /// [`TICK`], however slowly bytes arrive; `false` ends the wait.
    pub(crate) fn receive<T: DeserializeOwned>(
        &self,
        mut go_on: impl FnMut() -> bool,
    ) -> Result<(T, Option<OwnedFd>), ChannelError> {
        let mut fd = None;
        let mut head = [0_u8; 4];
        self.fill(&mut head, &mut fd, &mut go_on)?;
        let length = u32::from_le_bytes(head);
        if length > FRAME_BYTES_MAX {
            return Err(ChannelError::TooLong(u64::from(length)));
        }
        let length = length as usize;
        let mut body = Vec::new();
        while body.len() < length {
            let from = body.len();
            body.resize(length.min(from + CHUNK_BYTES), 0);
            self.fill(body.get_mut(from..).unwrap_or_default(), &mut fd, &mut go_on)?;
        }
        Ok((postcard::from_bytes(&body)?, fd))
    }

    fn fill(
        &self,
        mut space: &mut [u8],
        fd: &mut Option<OwnedFd>,
        go_on: &mut impl FnMut() -> bool,
    ) -> Result<(), ChannelError> {
        while !space.is_empty() {
            if !go_on() {
                return Err(ChannelError::GaveUp);
            }
            let mut rights = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS_MAX))];
            let mut ancillary = RecvAncillaryBuffer::new(&mut rights);
            let got = rustix::net::recvmsg(
                self.socket.as_fd(),
                &mut [IoSliceMut::new(space)],
                &mut ancillary,
                RecvFlags::CMSG_CLOEXEC,
            );
            match got {
                Ok(message) if message.bytes == 0 => return Err(ChannelError::Closed),
                Ok(message) => {
                    for part in ancillary.drain() {
                        if let RecvAncillaryMessage::ScmRights(mut received) = part {
                            // The iterator owns every descriptor, so none can leak.
                            *fd = received.next().or(fd.take());
                        }
                    }
                    space = space.get_mut(message.bytes..).unwrap_or_default();
                }
                Err(Errno::INTR | Errno::AGAIN) => {}
                Err(Errno::CONNRESET) => return Err(ChannelError::Closed),
                Err(other) => return Err(other.into()),
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;
    use crate::shared;

    #[test]
    fn frames_and_descriptors_cross_and_the_wait_is_bounded() {
        let (host, worker) = Channel::pair().unwrap();
        let worker = Channel::over(worker);
        let file = shared::sealed_copy(b"hello").unwrap();
        host.send(&(7_u32, "seven"), Some(file.as_fd())).unwrap();
        let ((number, word), fd): ((u32, String), _) = worker.receive(|| true).unwrap();
        assert_eq!((number, word.as_str()), (7, "seven"));
        assert_eq!(shared::Mapping::of_document(fd.unwrap()).unwrap().bytes(), b"hello");

        let mut ticks = 0;
        let waited = host.receive::<u32>(|| {
            ticks += 1;
            ticks < 3
        });
        assert!(matches!(waited, Err(ChannelError::GaveUp)));
        rustix::io::write(&worker.socket, &u32::MAX.to_le_bytes()).unwrap();
        assert!(matches!(host.receive::<u32>(|| true), Err(ChannelError::TooLong(_))));
        drop(worker);
        assert!(matches!(host.receive::<u32>(|| true), Err(ChannelError::Closed)));
        assert!(matches!(host.send(&1_u32, None), Err(ChannelError::Closed)));
    }
}
