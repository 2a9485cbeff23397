//! Compilation of components in a separate process: both ends of the pipe.
//!
//! A compiler that loops, exhausts memory or dies on some component does not affect the host: the process has limits of
//! processor time, memory and wall-clock time, a low priority, and the sandbox of `lector-sandbox`. The limit of processor
//! time does not depend on the load of the machine, so that the same component always passes or always fails; the
//! wall-clock limit ends a process that does not run at all. The host sends an order line and the component, and
//! keeps the input open: when it closes, the host has gone, and the process ends. The process answers with one line
//! and, after `code`, the code, sealed as in the cache (`cache.rs`); incomplete code is not used. Does not know the
//! cache or guests; called by `runtime.rs`.

use std::io::{self, BufRead, Read, Write};
use std::os::unix::process::ExitStatusExt as _;
use std::process::{ExitCode, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use lector_core::{Fault, Kind};
use lector_sandbox::{Policy, Role};
use rustix::process::{Resource, Rlimit, Signal};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::Command;
use wasmtime::Engine;

use crate::cache::{CODE_BYTES_MAX, HEADER_BYTES, seal, unsealed};
use crate::config::CompilerConfig;
use crate::engine;
use crate::log::printable;

/// Niceness: lower priority than requests, the same as guests that compute (`threads.rs`). A busy core leaves it about a
/// tenth.
const NICE: i32 = 10;
/// Threads of one compile; more do not help on components of this size, and each needs memory.
const THREADS_MAX: usize = 8;
/// Maximum length of the order line.
const LINE_BYTES_MAX: u64 = 256;
/// Maximum bytes of standard error that are kept of a compiler that died.
const LOG_BYTES_MAX: usize = 4 << 10;
/// Size of the largest answer: the word, the seal, the code.
const ANSWER_BYTES_MAX: u64 = CODE_BYTES_MAX + HEADER_BYTES as u64 + 16;
/// Maximum length of the compiler's reason in a message, in bytes: it quotes names of the component.
const WHY_BYTES_MAX: usize = 2048;
/// What Rust prints before it aborts for a lack of memory, and for a full stack.
const OUT_OF_MEMORY: &str = "memory allocation of";
/// The stacks of the compiler's threads do not fit into the memory.
const NO_THREADS: &str = "ThreadPoolBuildError";
/// Words in the log of a process whose first thread has no memory for its stack.
const NO_WATCHER: &str = "cannot start a thread";
/// Exit code of a panic.
const PANICKED: i32 = 101;
const STACK_FULL: &str = "has overflowed its stack";
/// First line of an answer.
const CODE: &[u8] = b"code\n";
const REFUSED: &[u8] = b"refused\n";

/// Compiles a component in a separate process. Dropping the future kills the process.
pub async fn compile(config: &CompilerConfig, engine: &Engine, wasm: &[u8]) -> Result<Vec<u8>, Fault> {
    let began = Instant::now();
    let (program, arguments) = config
        .command
        .split_first()
        .ok_or_else(|| failed("compiler_missing", "no compiler is configured"))?;
    let threads = std::thread::available_parallelism().map_or(1, usize::from).min(THREADS_MAX);
    let mut child = Command::new(program)
        .args(arguments)
        // The server's environment holds keys, and the compiler needs none of it.
        .env_clear()
        .env("RAYON_NUM_THREADS", threads.to_string())
        .env("MALLOC_ARENA_MAX", "2")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .map_err(|error| failed("compiler_missing", "its process cannot be started").with_detail(error))?;
    let (Some(mut input), Some(output), Some(log)) =
        (child.stdin.take(), child.stdout.take(), child.stderr.take())
    else {
        return Err(failed("compiler_missing", "its process has no pipes"));
    };
    let order = format!(
        "{} {} {} {} {}\n",
        config.memory_bytes,
        seconds(config.cpu_time),
        config.sandbox.name(),
        engine::fingerprint(engine),
        wasm.len()
    );
    let asked = async {
        let write = async {
            // A process that is already dead is reported by its exit status below.
            let _ = input.write_all(order.as_bytes()).await;
            let _ = input.write_all(wasm).await;
            let _ = input.flush().await;
        };
        let (answer, log, ()) = tokio::join!(whole(output), tail(log), write);
        (answer, log, child.wait().await)
    };
    let Ok((answer, log, status)) = tokio::time::timeout(config.timeout, asked).await else {
        let _ = child.kill().await;
        let why = format!(
            "its process did not end within {} s, although it may use only {} s of processor time: the machine is \
             overloaded",
            config.timeout.as_secs_f64(),
            seconds(config.cpu_time)
        );
        return Err(failed("compiler_timeout", &why));
    };
    // Kept open until here: a closed input tells the process that the host has gone.
    drop(input);
    let sound = matches!(&status, Ok(status) if status.success());
    match answer {
        Ok(answer) if sound && answer.starts_with(REFUSED) => {
            let why = String::from_utf8_lossy(answer.get(REFUSED.len()..).unwrap_or_default());
            Err(invalid(&why))
        }
        Ok(mut answer) if sound && answer.starts_with(CODE) => {
            answer.drain(..CODE.len());
            let code = unsealed(answer).ok_or_else(|| failed("compiler_died", "its answer is incomplete"))?;
            tracing::debug!(
                took_ms = began.elapsed().as_millis() as u64,
                bytes = code.len(),
                "compiler done"
            );
            Ok(code)
        }
        Ok(_) => Err(died(config, status, &log)),
        Err(error) => Err(failed("compiler_died", "its answer cannot be read").with_detail(error)),
    }
}

/// Returns the fault of a process that ended without an answer. Where the component itself is the cause, by the limits of
/// the process, the client can correct it.
fn died(config: &CompilerConfig, status: io::Result<ExitStatus>, log: &str) -> Fault {
    let costly = |what: String| {
        let message = format!(
            "compiling the component takes more than {what}, which is the limit of this host: send a smaller component"
        );
        Fault::new(Kind::TooLarge, "component_too_costly", message).with_detail(log.trim())
    };
    let signal = status.as_ref().ok().and_then(ExitStatus::signal);
    if signal == Some(Signal::XCPU.as_raw()) {
        return costly(format!("{} s of processor time", seconds(config.cpu_time)));
    }
    let panicked = status.as_ref().is_ok_and(|status| status.code() == Some(PANICKED));
    if signal == Some(Signal::ABORT.as_raw()) && log.contains(OUT_OF_MEMORY)
        || panicked && log.contains(NO_THREADS)
        || log.contains(NO_WATCHER)
    {
        return costly(format!("{} MiB of memory", config.memory_bytes >> 20));
    }
    if signal == Some(Signal::ABORT.as_raw()) && log.contains(STACK_FULL) {
        return invalid("its types or instructions nest too deeply for the compiler").with_detail(log.trim());
    }
    let how = status.map_or_else(|error| error.to_string(), |status| status.to_string());
    let mib = config.memory_bytes >> 20;
    let why = format!(
        "its process ended without an answer ({how}; it may use {mib} MiB of memory and {} s of processor time)",
        seconds(config.cpu_time)
    );
    failed("compiler_died", &why).with_detail(log.trim())
}

fn failed(code: &'static str, why: &str) -> Fault {
    let message = format!(
        "The component could not be compiled: {why}. Nothing was changed. Send a smaller component, or ask the operator to \
         check the log."
    );
    Fault::new(Kind::Unavailable, code, message)
}

/// Returns the fault of a component that cannot be compiled.
pub fn invalid(why: &str) -> Fault {
    let why = printable(why, WHY_BYTES_MAX);
    Fault::new(Kind::Invalid, "component_invalid", format!("the component is not valid: {why}"))
}

/// Returns the whole seconds of a limit, at least one.
fn seconds(limit: Duration) -> u64 {
    limit.as_secs().max(1)
}

async fn whole(output: impl AsyncRead + Unpin) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    output.take(ANSWER_BYTES_MAX + 1).read_to_end(&mut bytes).await?;
    if bytes.len() as u64 > ANSWER_BYTES_MAX {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "longer than any code"));
    }
    Ok(bytes)
}

/// Reads to the end and keeps the last part.
async fn tail(mut log: impl AsyncRead + Unpin) -> String {
    let (mut kept, mut piece) = (Vec::new(), [0u8; 1024]);
    while let Ok(read @ 1..) = log.read(&mut piece).await {
        kept.extend_from_slice(piece.get(..read).unwrap_or_default());
        let surplus = kept.len().saturating_sub(LOG_BYTES_MAX);
        kept.drain(..surplus);
    }
    String::from_utf8_lossy(&kept).into_owned()
}

/// Returns the serialized machine code for `engine`, or the reason of a failure.
pub fn precompile(engine: &Engine, wasm: &[u8]) -> Result<Vec<u8>, String> {
    engine.precompile_component(wasm).map_err(|error| chain(&error))
}

/// Joins the causes of an error on one line.
pub fn chain(error: &wasmtime::Error) -> String {
    error.chain().map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

/// Runs the compiler process. Nothing else may write to its standard output.
pub fn compiler_main() -> ExitCode {
    let mut input = io::stdin().lock();
    let Order { memory_bytes, cpu_seconds, sandbox, fingerprint, wasm } = match order(&mut input) {
        Ok(order) => order,
        Err(why) => return fail(&format!("the order is malformed: {why}")),
    };
    drop(input);
    // A refused niceness costs speed, not correctness.
    let _ = rustix::process::nice(NICE);
    if let Err(error) = bound_processor_time(cpu_seconds) {
        return fail(&format!("the limit of processor time cannot be set: {error}"));
    }
    // Before the watcher: landlock and seccomp apply to a thread and its children, so this is the only thread.
    if let Err(reason) = sandbox.check(&lector_sandbox::enter(Role::Compiler { memory_bytes })) {
        return fail(&reason);
    }
    // The stack counts as memory of the component; reading a byte takes little of it.
    let thread = std::thread::Builder::new().name("orderer".to_owned()).stack_size(128 << 10);
    let watcher = thread.spawn(|| {
        let mut byte = [0u8];
        while matches!(io::stdin().lock().read(&mut byte), Ok(1)) {}
        // The host has gone or has its answer.
        std::process::exit(2);
    });
    if let Err(error) = watcher {
        return fail(&format!("{NO_WATCHER}: {error}"));
    }
    let answer = match engine::compiling() {
        Ok(engine) if engine::fingerprint(&engine) != fingerprint => {
            return fail("this program compiles for another engine than the requested one");
        }
        Ok(engine) => precompile(&engine, &wasm),
        Err(error) => return fail(&chain(&error)),
    };
    let mut output = io::stdout().lock();
    let written = match answer {
        Ok(code) => output
            .write_all(CODE)
            .and_then(|()| output.write_all(&seal(&code)))
            .and_then(|()| output.write_all(&code)),
        Err(why) => output.write_all(REFUSED).and_then(|()| output.write_all(why.as_bytes())),
    };
    match written.and_then(|()| output.flush()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(&format!("the answer cannot be written: {error}")),
    }
}

/// The order of the host.
#[derive(Debug, PartialEq)]
struct Order {
    memory_bytes: u64,
    cpu_seconds: u64,
    sandbox: Policy,
    fingerprint: String,
    wasm: Vec<u8>,
}

fn order(input: &mut impl BufRead) -> Result<Order, String> {
    let mut line = String::new();
    input.take(LINE_BYTES_MAX).read_line(&mut line).map_err(|error| error.to_string())?;
    let words: Vec<&str> = line.split_whitespace().collect();
    let [memory_bytes, cpu_seconds, sandbox, fingerprint, bytes] = words.as_slice() else {
        return Err("it does not have five words".to_owned());
    };
    let number = |word: &str| word.parse::<u64>().map_err(|_| format!("`{word}` is not a number"));
    let (memory_bytes, cpu_seconds, bytes) = (number(memory_bytes)?, number(cpu_seconds)?, number(bytes)?);
    let sandbox = sandbox.parse()?;
    let mut wasm = Vec::new();
    input.take(bytes).read_to_end(&mut wasm).map_err(|error| error.to_string())?;
    if wasm.len() as u64 != bytes {
        return Err(format!("{} of {bytes} bytes were received", wasm.len()));
    }
    Ok(Order { memory_bytes, cpu_seconds, sandbox, fingerprint: (*fingerprint).to_owned(), wasm })
}

/// Limits the processor time of this process: SIGXCPU, which the host recognizes, comes at the limit, and SIGKILL later.
fn bound_processor_time(seconds: u64) -> io::Result<()> {
    let bound = Rlimit { current: Some(seconds), maximum: Some(seconds.saturating_add(5)) };
    Ok(rustix::process::setrlimit(Resource::Cpu, bound)?)
}

fn fail(why: &str) -> ExitCode {
    // Standard error is the only channel of this process; the host logs it.
    let _ = writeln!(io::stderr(), "{why}");
    ExitCode::FAILURE
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::ffi::OsString;

    use super::*;

    /// Runs a shell script as the compiler.
    async fn asked(script: &str, timeout: Duration) -> Fault {
        let command = ["sh", "-c", script].map(OsString::from).into();
        let cpu_time = Duration::from_secs(7);
        let config =
            CompilerConfig { command, timeout, cpu_time, memory_bytes: 64 << 20, sandbox: Policy::Enforce };
        compile(&config, &engine::compiling().unwrap(), &[0; 100_000]).await.unwrap_err()
    }

    #[tokio::test]
    async fn each_way_to_die_is_reported() {
        let minute = Duration::from_secs(60);
        for (script, code, expected) in [
            ("kill -9 $$", "compiler_died", "SIGKILL"),
            ("exit 3", "compiler_died", "exit status: 3"),
            ("exit 0", "compiler_died", "without an answer"),
            ("printf 'code\\nnot sealed'", "compiler_died", "incomplete"),
            ("printf 'code\\n'; exit 1", "compiler_died", "exit status: 1"),
            ("head -c 300000000 /dev/zero", "compiler_died", "cannot be read"),
        ] {
            let fault = asked(script, minute).await;
            assert_eq!((fault.code, fault.kind), (code, Kind::Unavailable), "{script}");
            assert!(fault.message.contains(expected), "{script}: {fault}");
        }
        let fault = asked("echo last words >&2; exit 1", minute).await;
        assert_eq!(fault.detail.as_deref(), Some("last words"));
        let fault = asked("printf 'refused\\nno component'", minute).await;
        assert_eq!((fault.code, fault.kind), ("component_invalid", Kind::Invalid));
        // What the component itself causes, by the limits, is reported as such.
        for (script, code, kind, expected) in [
            ("kill -XCPU $$", "component_too_costly", Kind::TooLarge, "7 s of processor time"),
            ("ulimit -S -t 1; while :; do :; done", "component_too_costly", Kind::TooLarge, "processor time"),
            (
                "echo 'memory allocation of 9 bytes failed' >&2; kill -ABRT $$",
                "component_too_costly",
                Kind::TooLarge,
                "64 MiB of memory",
            ),
            (
                "echo 'ThreadPoolBuildError { kind: IOError(..) }' >&2; exit 101",
                "component_too_costly",
                Kind::TooLarge,
                "64 MiB of memory",
            ),
            (
                "echo 'cannot start a thread: EAGAIN' >&2; exit 1",
                "component_too_costly",
                Kind::TooLarge,
                "64 MiB of memory",
            ),
            (
                "echo \"thread 'main' has overflowed its stack\" >&2; kill -ABRT $$",
                "component_invalid",
                Kind::Invalid,
                "nest too deeply",
            ),
        ] {
            let fault = asked(script, minute).await;
            assert_eq!((fault.code, fault.kind), (code, kind), "{script}: {fault}");
            assert!(fault.message.contains(expected), "{script}: {fault}");
        }
        let fault = asked("exec sleep 600", Duration::from_millis(50)).await;
        assert_eq!(fault.code, "compiler_timeout");
    }

    #[tokio::test]
    async fn a_compiler_that_is_not_there_is_reported() {
        let (command, minute) = (vec![OsString::from("/no/such/program")], Duration::from_secs(60));
        let sandbox = Policy::Enforce;
        let config = CompilerConfig { command, timeout: minute, cpu_time: minute, memory_bytes: 1, sandbox };
        let fault = compile(&config, &engine::compiling().unwrap(), b"").await.unwrap_err();
        assert_eq!(fault.code, "compiler_missing");
    }

    #[test]
    fn an_order_is_whole_or_not_understood() {
        let read = |text: &str| order(&mut text.as_bytes());
        let expected = Order {
            memory_bytes: 7,
            cpu_seconds: 8,
            sandbox: Policy::Warn,
            fingerprint: "abc".to_owned(),
            wasm: b"xyz".to_vec(),
        };
        assert_eq!(read("7 8 warn abc 3\nxyzmore").unwrap(), expected);
        let nines = "9".repeat(400);
        for bad in [
            "",
            "7 8 warn abc\n",
            "7 warn abc 3\nxyz",
            "x 8 warn abc 3\nxyz",
            "7 8 off abc 3\nxyz",
            "7 8 warn abc 3\nxy",
            &nines,
        ] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn code_is_made_for_the_engine_that_runs_it() {
        let runs = engine::engine(&crate::RuntimeConfig { instances_max: 1, ..Default::default() }).unwrap();
        assert_eq!(engine::fingerprint(&runs), engine::fingerprint(&engine::compiling().unwrap()));
    }
}
