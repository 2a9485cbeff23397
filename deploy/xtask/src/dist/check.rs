//! `cargo xtask dist --check`: unpacks the archive in a minimal Debian, without toolchain, Python and network, and reads
//! pages there as a user without rights.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};

use crate::places::Places;
use crate::setup::debian::{self, Archive};
use crate::shell;

/// Release of Debian; its glibc is the oldest of the supported systems that debootstrap knows here.
const SUITE: &str = "bookworm";
/// Packages beside the minimum: what unpacks the archive, sets up the loopback interface, and is the client.
const EXTRA: &str = "zstd,iproute2,curl";
/// Folder of the check in the system.
const HOME: &str = "opt/lector-check";

/// Prepares namespaces and the root folder. Everything that it mounts ends with the namespace.
const OUTSIDE: &str = r#"set -e
mount --make-rprivate /
mount -t proc proc "$1/proc"
mount --rbind /sys "$1/sys"
mount --rbind /dev "$1/dev"
mount -t tmpfs tmpfs "$1/tmp"
chmod 1777 "$1/tmp"
ip link set lo up
exec chroot "$1" setpriv --reuid 65534 --regid 65534 --clear-groups --no-new-privs \
    env -i PATH=/usr/bin:/bin HOME=/opt/lector-check/home sh /opt/lector-check/inside.sh
"#;

/// Runs in the system. `mark NAME` prints the time.
const INSIDE: &str = r#"set -e
mark() { echo "mark $1 $(date +%s.%N)"; }
for tool in cc gcc rustc cargo python3; do
    if command -v $tool; then echo "the system has $tool"; exit 1; fi
done
if curl --silent --max-time 2 http://192.0.2.1 http://deb.debian.org; then echo "there is a network"; exit 1; fi
cd /opt/lector-check
mark begin
tar --zstd -xf archive.tar.zst
cd lector-*
mark unpacked
sha256sum --quiet --check SHA256SUMS
mark verified
# Each time as on a machine that has never run it: with an empty cache.
for start in $STARTS; do
    export LECTOR_CACHE=/tmp/cache-$start
    mark serve-$start
    ./lector serve --listen 127.0.0.1:8080 --port-file /tmp/port-$start 2> /tmp/log &
    server=$!
    until [ -e /tmp/port-$start ]; do
        if ! kill -0 $server; then cat /tmp/log; exit 1; fi
        sleep 0.02
    done
    mark ready-$start
    curl --silent --show-error --fail -F file=@share/doc/demo.pdf 'http://127.0.0.1:8080/api/v1/ocr?format=text&pages=1&text_layer=never' > /tmp/page || { cat /tmp/log; exit 1; }
    mark page-$start
    grep -q "$EXPECT" /tmp/page || { cat /tmp/page; echo "the page has not its text"; exit 1; }
    # The guests of the archive need AVX2.
    if grep -q avx2 /proc/cpuinfo && grep "compil" /tmp/log; then echo "the server compiled a guest that the archive has compiled"; exit 1; fi
    kill $server
    wait $server || { cat /tmp/log; exit 1; }
    export LECTOR_CACHE=/tmp/cache-ocr-$start
    mark ocr-$start
    (cd /tmp && /opt/lector-check/lector-*/lector ocr --pages 1 --text-layer never /opt/lector-check/lector-*/share/doc/demo.pdf > /tmp/read)
    mark read-$start
    grep -q "$EXPECT" /tmp/read || { cat /tmp/read; echo "lector ocr printed another text"; exit 1; }
done
"#;

/// Starts with an empty cache: the fastest counts, because the machine may be busy with something else.
const STARTS: &str = "1 2 3";
/// Time from the start of a process with an empty cache to its first page, in seconds, on two idle cores. A longer one is
/// reported and is no error: it may be that of another process of the machine.
const FIRST_PAGE_GOAL_S: f64 = 3.0;
/// A text on the first page of the demonstration document.
pub(super) const EXPECT: &str = "Quay";

/// Runs the check, or says why it cannot run here.
pub(super) fn run(places: &Places, archive: &Path) -> Result<()> {
    ensure!(archive.is_file(), "there is no archive {}", archive.display());
    if let Some(reason) = cannot_run() {
        println!("SKIPPED: the check of the archive: {reason}");
        return Ok(());
    }
    let root = system(places)?;
    let home = root.join(HOME);
    shell::empty_folder(&home.join("home"))?;
    std::fs::copy(archive, home.join("archive.tar.zst")).context("copying the archive")?;
    shell::write(&home.join("inside.sh"), INSIDE.replace("$EXPECT", EXPECT).replace("$STARTS", STARTS))?;
    shell::write(&home.join("outside.sh"), OUTSIDE)?;
    shell::run(Command::new("chown").args(["-R", "65534:65534"]).arg(&home))?;
    println!("==> {} in Debian {SUITE}, without network", places.shown(archive));
    let mut unshare = Command::new("unshare");
    unshare
        .args(["--net", "--mount", "--pid", "--fork", "--kill-child", "sh"])
        .arg(home.join("outside.sh"))
        .arg(&root);
    let ran = unshare.stdin(Stdio::null()).stderr(Stdio::inherit()).output().context("starting unshare")?;
    let text = String::from_utf8_lossy(&ran.stdout).into_owned();
    shell::remove_folder(&home)?;
    if !ran.status.success() {
        bail!("the archive does not run in Debian {SUITE}:\n{text}");
    }
    for line in report(&marks(&text), &load())? {
        println!("{line}");
    }
    Ok(())
}

/// Returns the processes that wanted a processor, on average of the last minute, and the number of processors.
fn load() -> String {
    let average = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let average = average.split(' ').next().unwrap_or_default();
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    format!("a load of {average} on {processors} processors, the check included")
}

fn cannot_run() -> Option<String> {
    let root = shell::output(Command::new("id").arg("-u")).is_ok_and(|id| id.trim() == "0");
    if !root {
        return Some("it needs root, for namespaces and chroot".to_owned());
    }
    ["debootstrap", "unshare"]
        .into_iter()
        .find_map(|tool| shell::want(tool).err())
        .map(|error| error.to_string())
}

/// Returns the folder of the minimal system, which is made once and kept in the cache.
pub(crate) fn system(places: &Places) -> Result<PathBuf> {
    let root = places.cache.join(format!("chroot-{SUITE}"));
    if root.join("made").is_file() {
        return Ok(root);
    }
    println!("==> debootstrap {SUITE} into {}", root.display());
    shell::empty_folder(&root)?;
    let mut make = Command::new("debootstrap");
    make.args(["--variant=minbase", &format!("--include={EXTRA}"), SUITE]).arg(&root);
    shell::run(make.arg(debian::mirror(Archive::Main)?).stdout(Stdio::null()))?;
    shell::write(&root.join("made"), "")?;
    Ok(root)
}

fn marks(text: &str) -> Vec<(String, f64)> {
    let mark = |line: &str| {
        let mut words = line.strip_prefix("mark ")?.split(' ');
        Some((words.next()?.to_owned(), words.next()?.parse().ok()?))
    };
    text.lines().filter_map(mark).collect()
}

/// Returns the seconds between the marks as lines, and compares those of the first page with the goal. Error: a mark that
/// is missing.
fn report(marks: &[(String, f64)], load: &str) -> Result<Vec<String>> {
    let at = |name: &str| {
        let mark = marks.iter().find(|(mark, _)| mark == name);
        mark.map(|(_, at)| *at).with_context(|| format!("the check did not reach `{name}`"))
    };
    let fastest = |from: &str, to: &str| {
        let starts = STARTS.split(' ');
        let times = starts.map(|start| {
            Ok::<f64, anyhow::Error>(at(&format!("{to}-{start}"))? - at(&format!("{from}-{start}"))?)
        });
        Ok::<_, anyhow::Error>(times.collect::<Result<Vec<f64>>>()?.into_iter().fold(f64::INFINITY, f64::min))
    };
    let (unpacking, page) = (at("unpacked")? - at("begin")?, fastest("serve", "page")?);
    let read = fastest("ocr", "read")?;
    let times = [
        ("unpacked", unpacking),
        ("digests verified", at("verified")? - at("unpacked")?),
        ("lector serve: ready, from its start with an empty cache", fastest("serve", "ready")?),
        ("lector serve: first page, from its start", page),
        ("lector ocr: one page, with an empty cache", read),
        ("archive to first page", unpacking + page),
    ];
    let mut lines: Vec<String> =
        times.iter().map(|(what, time)| format!("  {time:>6.2} s  {what}")).collect();
    lines.push(if page.max(read) <= FIRST_PAGE_GOAL_S {
        format!("  first pages within {FIRST_PAGE_GOAL_S} s, with {load}")
    } else {
        format!(
            "  OVER: a first page takes more than {FIRST_PAGE_GOAL_S} s, with {load}; not judged, compare on an idle machine"
        )
    });
    Ok(lines)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    /// Returns the marks of a check in which the fastest first pages take `page` and `read` seconds.
    fn text(page: f64, read: f64) -> String {
        let mut text = "noise\nmark begin 10.0\nmark unpacked 12.5\nmark verified 13.0\n".to_owned();
        for (start, slower) in [(1, 9.0), (2, 0.0), (3, 5.0)] {
            for (mark, at) in
                [("serve", 0.0), ("ready", 0.5), ("page", page), ("ocr", 20.0), ("read", 20.0 + read)]
            {
                let slower = if matches!(mark, "page" | "read") { slower } else { 0.0 };
                text.push_str(&format!("mark {mark}-{start} {}\n", 100.0 * f64::from(start) + at + slower));
            }
        }
        text
    }

    #[test]
    fn the_fastest_first_pages_are_compared_with_the_goal() {
        for (page, read, expect) in [
            (2.9, 1.0, "  first pages within 3 s, with a load"),
            (3.1, 1.0, "  OVER: a first page takes more than 3 s, with a load"),
            (1.0, 3.1, "  OVER: a first page takes more than 3 s, with a load"),
        ] {
            let lines = report(&marks(&text(page, read)), "a load").unwrap();
            assert!(lines.last().unwrap().starts_with(expect), "{lines:?}");
            for (time, what) in [(page, "lector serve: first page"), (read, "lector ocr: one page")] {
                let line = format!("  {time:>6.2} s  {what}");
                assert!(lines.iter().any(|found| found.starts_with(&line)), "{line} in {lines:?}");
            }
        }
    }

    #[test]
    fn a_check_that_ends_early_is_an_error() {
        let text = text(1.0, 1.0);
        for (end, missing) in
            [("mark page-3", "page-3"), ("mark unpacked", "unpacked"), ("mark read-3", "read-3")]
        {
            let marks = marks(&text[..text.find(end).unwrap()]);
            let error = report(&marks, "a load").unwrap_err().to_string();
            assert!(error.contains(&format!("did not reach `{missing}`")), "{error}");
        }
    }
}
