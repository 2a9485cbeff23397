//! Rejects module cycles inside a crate: a file may use another file only if that one does not use it, directly or
//! indirectly.
//!
//! Reads the module files of a crate, resolves the paths that each file uses (`crate::`, `super::`, `self::`, child
//! modules, imported or re-exported names) to the file that defines the name, and reports every cycle of files. A
//! parent module and its children are separate files. Uses in tests are ignored. Neither `mod child;` nor a re-export
//! is a use.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use crate::tokens::{Token, tokens};

/// Path of a module from the crate root.
type Module = Vec<String>;

/// A module file.
#[derive(Debug, Default)]
struct File {
    /// Name in messages.
    name: String,
    children: BTreeSet<String>,
    /// Inline modules of this file.
    inline: BTreeSet<String>,
    /// Items that it defines.
    items: BTreeSet<String>,
    imports: Vec<Import>,
    /// Paths of two or more names.
    paths: BTreeSet<Vec<String>>,
    /// Names used outside of imports.
    names: BTreeSet<String>,
}

/// One name of a `use`.
#[derive(Debug)]
struct Import {
    path: Vec<String>,
    /// Local name; `*` for a glob.
    name: String,
    /// Whether other modules can use the name from here.
    exported: bool,
}

/// Files of a crate by module.
type Files = BTreeMap<Module, File>;

/// Returns the folders of the checked crates: those of the server and the task runner.
pub fn crates(files: &[String]) -> Vec<String> {
    let packages = files.iter().filter_map(|file| file.strip_suffix("/Cargo.toml"));
    let ours =
        |folder: &&str| *folder == "host" || *folder == "deploy/xtask" || folder.starts_with("host/crates/");
    packages.filter(ours).map(str::to_owned).collect()
}

/// Returns a message for every cycle of the crates in these folders (each has `src/lib.rs` or `src/main.rs`).
pub fn violations(root: &Path, crates: &[String]) -> Vec<String> {
    let mut found = Vec::new();
    for folder in crates {
        let src = format!("{folder}/src");
        let main = ["lib.rs", "main.rs"].into_iter().find(|main| root.join(&src).join(main).is_file());
        let Some(main) = main else { continue };
        let mut files = Files::new();
        read(root, &src, &format!("{src}/{main}"), Vec::new(), &mut files);
        found.extend(cycles(&files));
    }
    found
}

/// Reads the file of a module and those of its children.
fn read(root: &Path, src: &str, name: &str, module: Module, files: &mut Files) {
    let Ok(text) = fs::read_to_string(root.join(name)) else { return };
    let file = parse(name, &text);
    for child in &file.children {
        let mut path = module.clone();
        path.push(child.clone());
        read(root, src, &format!("{src}/{}.rs", path.join("/")), path, files);
    }
    files.insert(module, file);
}

fn parse(name: &str, text: &str) -> File {
    let mut file = File { name: name.to_owned(), ..File::default() };
    let tokens = tokens(text);
    let (mut at, mut exported) = (0, false);
    while let Some(token) = tokens.get(at) {
        match token {
            Token::Name(word) => match word.as_str() {
                "pub" => {
                    exported = true;
                    at += 1;
                    if tokens.get(at) == Some(&Token::Sign('(')) {
                        at = closed(&tokens, at);
                    }
                    continue;
                }
                "mod" => at = module(&tokens, at + 1, &mut file),
                "use" => at = import(&tokens, at + 1, &[], exported, &mut file.imports),
                "fn" | "struct" | "enum" | "union" | "trait" | "type" | "const" | "static"
                | "macro_rules" => {
                    let next = tokens[at + 1..].iter().find_map(Token::name);
                    file.items.extend(next.map(str::to_owned));
                    at += 1;
                }
                _ => at = path(&tokens, at, &mut file),
            },
            Token::Sign('#') => at = attribute(&tokens, at),
            Token::Sign(_) => at += 1,
        }
        exported = false;
    }
    file
}

/// Returns the index after the bracket that closes the one at `at`.
fn closed(tokens: &[Token], at: usize) -> usize {
    let mut depth = 0usize;
    for (index, token) in tokens.iter().enumerate().skip(at) {
        match token {
            Token::Sign('(' | '[' | '{') => depth += 1,
            Token::Sign(')' | ']' | '}') => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth == 0 {
            return index + 1;
        }
    }
    tokens.len()
}

/// Returns the index after an attribute, and after its item if that is only for tests.
fn attribute(tokens: &[Token], at: usize) -> usize {
    let open = at + 1 + usize::from(tokens.get(at + 1) == Some(&Token::Sign('!')));
    if tokens.get(open) != Some(&Token::Sign('[')) {
        return at + 1;
    }
    let end = closed(tokens, open);
    let names: Vec<&str> = tokens[open..end].iter().filter_map(Token::name).collect();
    let for_tests = matches!(names.as_slice(), ["cfg", "test"] | ["cfg", "all", "test", ..] | ["test"]);
    if !for_tests || open > at + 1 {
        return end;
    }
    let mut at = end;
    while let Some(token) = tokens.get(at) {
        match token {
            Token::Sign(';') => return at + 1,
            Token::Sign('{') => return closed(tokens, at),
            Token::Sign('(' | '[') => at = closed(tokens, at),
            _ => at += 1,
        }
    }
    at
}

/// Parses `mod name;` or `mod name {`: the content of an inline module belongs to the file.
fn module(tokens: &[Token], at: usize, file: &mut File) -> usize {
    let Some(name) = tokens.get(at).and_then(Token::name) else { return at };
    if tokens.get(at + 1) == Some(&Token::Sign(';')) {
        file.children.insert(name.to_owned());
    } else {
        file.inline.insert(name.to_owned());
    }
    at + 1
}

/// Parses one tree of a `use`; returns the index after it.
fn import(
    tokens: &[Token],
    mut at: usize,
    before: &[String],
    exported: bool,
    out: &mut Vec<Import>,
) -> usize {
    let mut path = before.to_vec();
    loop {
        match tokens.get(at) {
            Some(Token::Name(name)) if name == "as" => {
                if let (Some(last), Some(name)) = (out.last_mut(), tokens.get(at + 1).and_then(Token::name)) {
                    last.name = name.to_owned();
                }
                at += 2;
            }
            Some(Token::Name(name)) => {
                path.push(name.clone());
                at += 1;
                if tokens.get(at) != Some(&Token::Sign(':')) {
                    let end = path.len() - usize::from(name == "self" && path.len() > 1);
                    let path = path[..end].to_vec();
                    let name = path.last().cloned().unwrap_or_default();
                    out.push(Import { path, name, exported });
                }
            }
            Some(Token::Sign(':')) => at += 1,
            Some(Token::Sign('*')) => {
                out.push(Import { path: path.clone(), name: "*".to_owned(), exported });
                at += 1;
            }
            Some(Token::Sign('{')) => {
                at += 1;
                while !matches!(tokens.get(at), None | Some(Token::Sign('}'))) {
                    at = import(tokens, at, &path, exported, out);
                    if tokens.get(at) == Some(&Token::Sign(',')) {
                        at += 1;
                    }
                }
                return at + 1;
            }
            // The end of this tree; the caller consumes the `;` of the whole `use`.
            _ => return at,
        }
    }
}

/// Parses a path or a single name; returns the index after it.
fn path(tokens: &[Token], mut at: usize, file: &mut File) -> usize {
    let mut path = Vec::new();
    while let Some(name) = tokens.get(at).and_then(Token::name) {
        path.push(name.to_owned());
        let colons = [tokens.get(at + 1), tokens.get(at + 2)].map(|token| token == Some(&Token::Sign(':')));
        at += 1;
        if colons != [true, true] || tokens.get(at + 2).and_then(Token::name).is_none() {
            break;
        }
        at += 2;
    }
    file.names.extend(path.first().cloned());
    if path.len() > 1 {
        file.paths.insert(path);
    }
    at
}

/// Returns the module in whose file the path ends, as seen from `from`; `None` for other crates.
fn resolve(files: &Files, from: &Module, path: &[String], depth: usize) -> Option<Module> {
    let (first, mut rest) = path.split_first()?;
    let mut here: Module = match first.as_str() {
        "crate" => Vec::new(),
        "self" => from.clone(),
        "super" => from.split_last()?.1.to_vec(),
        name => {
            let file = files.get(from)?;
            let known =
                file.children.contains(name) || file.imports.iter().any(|import| import.name == *name);
            if !known || depth == 0 {
                return None;
            }
            rest = path;
            from.clone()
        }
    };
    while let Some((name, after)) = rest.split_first() {
        let file = files.get(&here)?;
        if name == "super" {
            here.pop();
        } else if file.children.contains(name) {
            here.push(name.clone());
        } else if file.inline.contains(name) || file.items.contains(name) || depth == 0 {
            return Some(here);
        } else {
            return imported(files, &here, file, name, after, depth);
        }
        rest = after;
    }
    Some(here)
}

/// Resolves a name that the file does not define, through its imports.
fn imported(
    files: &Files,
    here: &Module,
    file: &File,
    name: &str,
    after: &[String],
    depth: usize,
) -> Option<Module> {
    if let Some(import) = file.imports.iter().find(|import| import.name == *name) {
        let path: Vec<String> = import.path.iter().chain(after).cloned().collect();
        // An import that begins with its own name is of another crate, or of a child.
        let own = path.first().is_some_and(|first| first == name) && !file.children.contains(name);
        return if own { None } else { resolve(files, here, &path, depth - 1) };
    }
    for glob in file.imports.iter().filter(|import| import.name == "*") {
        let Some(module) = resolve(files, here, &glob.path, depth - 1) else { continue };
        if files.get(&module).is_some_and(|file| file.items.contains(name)) {
            return Some(module);
        }
    }
    Some(here.clone())
}

/// Maximum depth of chained re-exports.
const DEPTH_MAX: usize = 16;

/// Returns the files that each file uses, with the names.
fn edges(files: &Files) -> BTreeMap<&Module, BTreeMap<Module, BTreeSet<String>>> {
    let of = |module: &Module, file: &File| {
        let mut used: BTreeMap<Module, BTreeSet<String>> = BTreeMap::new();
        let imports =
            file.imports.iter().filter(|import| !import.exported || file.names.contains(&import.name));
        for path in imports.map(|import| &import.path).chain(&file.paths) {
            if let Some(to) = resolve(files, module, path, DEPTH_MAX).filter(|to| to != module) {
                used.entry(to).or_default().extend(path.last().cloned());
            }
        }
        used
    };
    files.iter().map(|(module, file)| (module, of(module, file))).collect()
}

/// Returns a message for each cycle of files.
fn cycles(files: &Files) -> Vec<String> {
    let edges = edges(files);
    let reach = |from: &Module| {
        let (mut seen, mut open) = (BTreeSet::new(), vec![from]);
        while let Some(module) = open.pop() {
            for to in edges.get(module).into_iter().flat_map(BTreeMap::keys) {
                if seen.insert(to) {
                    open.push(to);
                }
            }
        }
        seen
    };
    let reached: BTreeMap<&Module, BTreeSet<&Module>> =
        edges.keys().map(|module| (*module, reach(module))).collect();
    let (mut reported, mut found) = (BTreeSet::new(), Vec::new());
    for (module, from) in &reached {
        if !from.contains(module) || reported.contains(module) {
            continue;
        }
        let both = |other: &&&Module| reached.get(**other).is_some_and(|back| back.contains(module));
        let circle: Vec<&Module> = from.iter().filter(both).copied().collect();
        reported.extend(circle.iter().copied());
        found.push(sentence(files, &edges, &circle));
    }
    found
}

fn sentence(
    files: &Files,
    edges: &BTreeMap<&Module, BTreeMap<Module, BTreeSet<String>>>,
    circle: &[&Module],
) -> String {
    let name = |module: &Module| files.get(module).map_or("?", |file| file.name.as_str());
    let ties = circle.iter().flat_map(|from| {
        let used = edges.get(from).into_iter().flatten();
        let inside = used.filter(|(to, _)| circle.contains(to));
        inside.map(|(to, names)| {
            let names: Vec<&str> = names.iter().map(String::as_str).collect();
            format!("\n      {} uses {} of {}", name(from), names.join(", "), name(to))
        })
    });
    format!("{} files use each other in a cycle:{}", circle.len(), ties.collect::<String>())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    fn check(files: &[(&str, &str)]) -> Vec<String> {
        let dir = tempfile::tempdir().unwrap();
        for (name, text) in files {
            let path = dir.path().join("c/src").join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        violations(dir.path(), &["c".to_owned()])
    }

    #[test]
    fn files_that_use_each_other_are_reported_with_the_names() {
        let found = check(&[
            ("lib.rs", "mod a; mod b; mod c;"),
            ("a.rs", "use crate::b::{self, B}; pub struct A;"),
            ("b.rs", "use super::c::C; pub struct B; fn f() {}"),
            ("c.rs", "pub struct C; fn f() { crate::a::A; }"),
        ]);
        assert_eq!(found.len(), 1, "{found:?}");
        for reported in ["3 files", "c/src/a.rs uses B", "c/src/c.rs uses A of c/src/a.rs"] {
            assert!(found[0].contains(reported), "{}", found[0]);
        }
    }

    #[test]
    fn a_parent_and_its_child_are_two_files() {
        let child = ("a/child.rs", "use super::A; pub struct Child;");
        let parent = |text| ("a.rs", text);
        let lib = ("lib.rs", "mod a;");
        let uses = "mod child; use child::Child; pub struct A; fn f(_: Child) {}";
        assert_eq!(check(&[lib, parent(uses), child]).len(), 1);
        let by_path = "mod child; pub struct A; fn f() { child::Child; }";
        assert_eq!(check(&[lib, parent(by_path), child]).len(), 1);
        let exports = "mod child; pub use child::Child; pub struct A;";
        assert_eq!(check(&[lib, parent(exports), child]), Vec::<String>::new());
        let exports_and_uses = "mod child; pub(crate) use child::Child; pub struct A; fn f(_: Child) {}";
        assert_eq!(check(&[lib, parent(exports_and_uses), child]).len(), 1);
    }

    #[test]
    fn a_re_export_stands_for_the_file_behind_it() {
        let found = check(&[
            ("lib.rs", "mod a; mod b; pub use a::deep::Deep;"),
            ("a.rs", "pub mod deep; pub use deep::*;"),
            ("a/deep.rs", "use crate::b::B; pub struct Deep;"),
            ("b.rs", "use crate::Deep; pub struct B;"),
        ]);
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].contains("c/src/b.rs uses Deep of c/src/a/deep.rs"), "{}", found[0]);
    }

    #[test]
    fn tests_comments_strings_and_other_crates_are_free() {
        let b = "// use crate::a::A;\n#[cfg(test)] mod tests; #[cfg(test)] mod more { use crate::a::A; }\n\
                 #[cfg(test)] fn g() { crate::a::A; } const S: &str = r#\"crate::a::A\"#; use serde::a; pub struct B<'a>(&'a str);";
        let found = check(&[
            ("lib.rs", "mod a; mod b;"),
            ("a.rs", "use crate::b::B; pub struct A;"),
            ("b.rs", b),
            ("b/tests.rs", "use crate::a::A;"),
        ]);
        assert_eq!(found, Vec::<String>::new());
    }
}
