//! The C library's heap, where tensors live: theirs, ours, and the runtimes'. Called once, at the start of the plane.

/// As many arenas as cores. glibc makes eight a core, each thread settles in one, and each keeps what the largest tensors
/// in it took: over 33 pages on two cores the server peaked at 2268 MiB with sixteen and at 2060 MiB with two, in the same
/// time. `MALLOC_ARENA_MAX` in the environment has the last word.
pub(crate) fn few_arenas(cores: usize) {
    #[cfg(target_env = "gnu")]
    if std::env::var_os("MALLOC_ARENA_MAX").is_none() {
        let arenas = libc::c_int::try_from(cores.max(2)).unwrap_or(libc::c_int::MAX);
        // SAFETY: sets a number that the allocator reads under its own lock; any number above 0 is valid.
        if unsafe { libc::mallopt(libc::M_ARENA_MAX, arenas) } == 0 {
            tracing::warn!(
                arenas,
                "the C library does not take a bound on its arenas: memory will peak higher"
            );
        }
    }
    #[cfg(not(target_env = "gnu"))]
    let _ = cores;
}
