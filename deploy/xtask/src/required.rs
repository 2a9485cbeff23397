//! Variables by which a test fails, and is not skipped, where something is missing that the steps before it have made. A test
//! that is run by hand without them says aloud that it is skipped. `tests/README.md` lists them.

use std::fs;
use std::process::Command;

/// Variables of everything that `setup`, `guests` and `corpus` make.
const MADE: [&str; 3] = ["LECTOR_REQUIRE_CORPUS", "LECTOR_REQUIRE_GUESTS", "LECTOR_REQUIRE_MODELS"];
/// Variable of the sandbox, which depends on the kernel.
const SANDBOX: &str = "LECTOR_REQUIRE_SANDBOX";
/// Security modules of the running kernel. The file is not visible in most containers.
const MODULES: &str = "/sys/kernel/security/lsm";

/// Sets the variables for a command that runs tests.
pub(crate) fn by(command: &mut Command) -> &mut Command {
    let modules = fs::read_to_string(MODULES).unwrap_or_default();
    command.envs(variables(&modules).map(|name| (name, "1")))
}

fn variables(modules: &str) -> impl Iterator<Item = &'static str> {
    let sandbox = modules.trim().split(',').any(|module| module == "landlock").then_some(SANDBOX);
    MADE.into_iter().chain(sandbox)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sandbox_is_required_where_the_kernel_has_it() {
        let has_sandbox = |modules: &str| variables(modules).any(|name| name == SANDBOX);
        assert!(has_sandbox("lockdown,capability,landlock,yama,bpf\n"));
        assert!(!has_sandbox("capability,yama\n"));
        assert!(!has_sandbox(""));
        assert!(variables("").eq(MADE));
    }
}
