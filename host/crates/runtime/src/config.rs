//! Configuration of the runtime, and the reasons why it does not start.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use thiserror::Error;

/// Configuration of the compiler process.
#[derive(Clone, Debug)]
pub struct CompilerConfig {
    /// Program and arguments; the program calls [`compiler_main`](crate::compiler_main).
    pub command: Vec<OsString>,
    /// Processor time of one component, over all threads, in whole seconds.
    pub cpu_time: Duration,
    /// Wall-clock time of one component, for a process that does not run.
    pub timeout: Duration,
    /// Address space limit of the process.
    pub memory_bytes: u64,
    /// The consequence of a sandbox that the kernel does not support completely.
    pub sandbox: lector_sandbox::Policy,
}

/// Places of the compiled code that was installed with the program.
#[derive(Clone, Debug)]
pub struct InstalledCodeConfig {
    /// The program: code is used only where no other user may write it than those who may write the program.
    pub program: PathBuf,
    /// Folder of the code, below the folder of `digests`.
    pub dir: PathBuf,
    /// List of the digests of all installed files, as `sha256sum` prints it.
    pub digests: PathBuf,
}

/// Configuration of the runtime.
#[derive(Clone, Debug)]
pub struct RuntimeConfig {
    /// Folder of compiled code. Only the host may be able to write to it. `None` disables the cache.
    pub code_cache_dir: Option<PathBuf>,
    /// Maximum bytes of the folder, the newest file not counted; 0: no limit.
    pub code_cache_bytes_max: u64,
    /// Compiled code that was installed with the program, for components that are not in the cache.
    pub installed_code: Option<InstalledCodeConfig>,
    /// The process that compiles components. `None` compiles them in this process, where a defect of the compiler
    /// affects the host; for tests and for programs that cannot act as a compiler process.
    pub compiler: Option<CompilerConfig>,
    /// Maximum number of guests that run at once. Address space for them is reserved at the start; memory is not
    /// committed.
    pub instances_max: u32,
    /// Maximum size of one linear memory, regardless of the budget.
    pub memory_bytes_max: u64,
    /// Size of the largest component that is accepted.
    pub component_bytes_max: u64,
    /// Threads that guests compute on, and the number of concurrent pixel operations. Use the number of cores.
    pub blocking_threads: usize,
}

impl Default for RuntimeConfig {
    fn default() -> Self {
        Self {
            code_cache_dir: None,
            code_cache_bytes_max: 0,
            installed_code: None,
            compiler: None,
            instances_max: 64,
            memory_bytes_max: 1 << 30,
            component_bytes_max: 64 << 20,
            blocking_threads: std::thread::available_parallelism().map_or(1, |n| n.get()),
        }
    }
}

/// The reason why the runtime could not start.
#[derive(Debug, Error)]
pub enum RuntimeError {
    /// wasmtime rejected its configuration, in most cases because address space is missing.
    #[error(
        "the WebAssembly engine cannot start; lower instances_max, which reserves address space for each guest"
    )]
    Engine(#[source] wasmtime::Error),
    /// The contract could not be linked; a defect.
    #[error("the contract cannot be linked")]
    Link(#[source] wasmtime::Error),
    /// The folder of compiled code cannot be used.
    #[error("the code cache {dir} cannot be used", dir = dir.display())]
    Cache {
        /// The folder.
        dir: PathBuf,
        /// The I/O error.
        #[source]
        source: std::io::Error,
    },
    /// The threads of the guests could not be started.
    #[error("the threads that guests compute on cannot be started")]
    Threads(#[source] std::io::Error),
    /// The thread of the epoch ticker could not be started.
    #[error("the epoch thread cannot be started")]
    EpochTicker(#[source] std::io::Error),
}
