//! Memory shared by host and worker: documents for workers, pixels for the host.
//!
//! Owns the only `mmap` of the crate. Used by `pool` (host side) and `worker`.

use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{MemfdFlags, SealFlags};
use rustix::io::{self, Errno};
use rustix::mm::{MapFlags, ProtFlags};

/// Copies `bytes` to an anonymous file that is sealed against every change, also through other descriptors.
pub(crate) fn sealed_copy(bytes: &[u8]) -> io::Result<OwnedFd> {
    let fd = rustix::fs::memfd_create("lector-document", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)?;
    let mut rest = bytes;
    while !rest.is_empty() {
        let written = rustix::io::write(&fd, rest)?;
        rest = rest.get(written..).unwrap_or_default();
    }
    rustix::fs::fcntl_add_seals(
        &fd,
        SealFlags::SHRINK | SealFlags::GROW | SealFlags::WRITE | SealFlags::SEAL,
    )?;
    Ok(fd)
}

/// Creates an anonymous file of exactly `bytes` bytes for the pixels of a worker. Its size is sealed, so a worker
/// cannot cause a fault in the host by shrinking it.
pub(crate) fn pixel_buffer(bytes: u64) -> io::Result<OwnedFd> {
    let fd = rustix::fs::memfd_create("lector-pixels", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)?;
    rustix::fs::ftruncate(&fd, bytes)?;
    rustix::fs::fcntl_add_seals(&fd, SealFlags::SHRINK | SealFlags::GROW | SealFlags::SEAL)?;
    Ok(fd)
}

/// Copies the first `len` bytes of a pixel buffer to memory that the worker cannot access.
pub(crate) fn copy_out(fd: &OwnedFd, len: usize) -> io::Result<Vec<u8>> {
    copy_range(fd, 0, len)
}

/// Copies `len` bytes from `start` on of such a buffer.
pub(crate) fn copy_range(fd: &OwnedFd, start: u64, len: usize) -> io::Result<Vec<u8>> {
    let mut out = Vec::new();
    out.try_reserve_exact(len).map_err(|_| Errno::NOMEM)?;
    while out.len() < len {
        let offset = start.saturating_add(out.len() as u64);
        let spare = len - out.len();
        let got = {
            let space = out.spare_capacity_mut();
            let space = space.get_mut(..spare).ok_or(Errno::NOMEM)?;
            let (filled, _) = rustix::io::pread(fd, space, offset)?;
            filled.len()
        };
        if got == 0 {
            return Err(Errno::IO);
        }
        // SAFETY: `pread` initialized `got` bytes right behind the current length, within capacity.
        unsafe { out.set_len(out.len() + got) };
    }
    Ok(out)
}

/// A file mapped into memory; unmapped on drop.
pub(crate) struct Mapping {
    start: *mut u8,
    len: usize,
    writable: bool,
}

impl Mapping {
    /// Maps a sealed document for reading.
    pub(crate) fn of_document(fd: impl AsFd) -> io::Result<Self> {
        // Private, because kernels before 6.7 reject a shared mapping of a write-sealed file.
        Self::new(fd, ProtFlags::READ, MapFlags::PRIVATE, None)
    }

    /// Maps a pixel buffer, which must hold exactly `expected` bytes, for writing.
    pub(crate) fn of_pixels(fd: impl AsFd, expected: u64) -> io::Result<Self> {
        Self::new(fd, ProtFlags::READ | ProtFlags::WRITE, MapFlags::SHARED, Some(expected))
    }

    fn new(fd: impl AsFd, protection: ProtFlags, flags: MapFlags, expected: Option<u64>) -> io::Result<Self> {
        let fd = fd.as_fd();
        let size = u64::try_from(rustix::fs::fstat(fd)?.st_size).map_err(|_| Errno::INVAL)?;
        if size == 0 || expected.is_some_and(|expected| expected != size) {
            return Err(Errno::INVAL);
        }
        let len = usize::try_from(size).map_err(|_| Errno::OVERFLOW)?;
        // SAFETY: a new mapping at an address chosen by the kernel aliases nothing.
        let start = unsafe { rustix::mm::mmap(std::ptr::null_mut(), len, protection, flags, fd, 0)? };
        Ok(Self { start: start.cast(), len, writable: protection.contains(ProtFlags::WRITE) })
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        // SAFETY: the mapping lives as long as `self`; a document is sealed against every change, and only this process
        // writes a pixel buffer, through `bytes_mut`.
        unsafe { std::slice::from_raw_parts(self.start, self.len) }
    }

    /// Returns the bytes for writing; empty for a read-only mapping.
    pub(crate) fn bytes_mut(&mut self) -> &mut [u8] {
        let len = if self.writable { self.len } else { 0 };
        // SAFETY: as above, and `&mut self` makes this the only reference.
        unsafe { std::slice::from_raw_parts_mut(self.start, len) }
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: start and length are those of a mapping that is unmapped only here; every reference into it borrows
        // from `self`, which ends here.
        let unmapped = unsafe { rustix::mm::munmap(self.start.cast(), self.len) };
        debug_assert!(unmapped.is_ok());
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    #[test]
    fn a_document_cannot_be_changed_and_pixels_cannot_be_resized() {
        let document = sealed_copy(b"abc").unwrap();
        assert_eq!(Mapping::of_document(&document).unwrap().bytes(), b"abc");
        assert_eq!(rustix::io::pwrite(&document, b"x", 0), Err(Errno::PERM));
        let pixels = pixel_buffer(6).unwrap();
        assert_eq!(rustix::fs::ftruncate(&pixels, 3), Err(Errno::PERM));
        assert_eq!(rustix::fs::ftruncate(&pixels, 9), Err(Errno::PERM));
        assert!(Mapping::of_pixels(&pixels, 5).is_err());
        let mut mapping = Mapping::of_pixels(&pixels, 6).unwrap();
        mapping.bytes_mut().copy_from_slice(b"pixels");
        assert_eq!(copy_out(&pixels, 6).unwrap(), b"pixels");
        assert!(copy_out(&pixels, 7).is_err(), "no bytes beyond the end");
        assert_eq!(copy_range(&pixels, 2, 3).unwrap(), b"xel");
    }
}
