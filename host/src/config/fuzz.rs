//! Fuzz test of configuration files.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use super::example::EXAMPLE;
use super::tests::load;

/// Parses a file of any content: the result is a configuration, or an error with a message.
#[test]
fn fuzz_configuration() {
    let seeds = [
        EXAMPLE.as_bytes().to_vec(),
        b"[http]\nlisten = \"127.0.0.1:1\"\n[platform]\npages_in_flight_max = 3\n".to_vec(),
        b"[[deployments]]\nname = \"a\"\ncomponent = \"b\"\n[deployments.grants]\nx = \"y\"\n".to_vec(),
    ];
    let words: [&[u8]; 12] = [
        b"[[deployments]]",
        b"[http]",
        b"[platform]",
        b" = ",
        b"-1",
        b"18446744073709551615",
        b"9223372036854775807",
        b"{}",
        b"[]",
        b"\"\"",
        b"1e400",
        b"\n",
    ];
    lector_fuzz::target("configuration", &seeds, &words, |input| {
        let Ok(text) = std::str::from_utf8(input) else { return 0 };
        match load(text, &[], &[]) {
            Ok((config, effective)) => {
                assert!(config.serving.pages_in_flight_max > 0 && config.http.body_bytes_max > 0);
                assert!(!config.control.deployments.is_empty());
                effective.to_toml().unwrap().parse::<toml::Table>().unwrap();
                1
            }
            Err(error) => {
                assert!(!error.to_string().is_empty());
                2 + kind_of(&error)
            }
        }
    });
}

/// Returns the variant of an error.
fn kind_of(error: &super::ConfigError) -> u64 {
    format!("{error:?}").chars().take_while(|c| c.is_alphabetic()).map(|c| u64::from(u32::from(c))).sum()
}
