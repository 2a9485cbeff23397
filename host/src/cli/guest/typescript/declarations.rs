//! Writes the contract as TypeScript declarations, one module for each interface, as the tool for JavaScript binds it.

use std::fmt::Write as _;

use anyhow::{Context, bail};
use wit_parser::{
    Docs, Function, FunctionKind, Handle, Interface, InterfaceId, Resolve, Type, TypeDef, TypeDefKind,
    TypeId, TypeOwner, WorldId, WorldItem,
};

/// Declares what exists beside the contract and the language itself.
const GLOBALS: &str = "\
// The contract as TypeScript, written by `lector guest build`. Calls wait for their result. The error of a call is
// thrown as an `Error` whose `payload` is the record of the contract; a function of the pipeline throws such a record itself.

/** Log events: `debug`, `info` (and `log`), `warn` and `error` are their levels. Nothing is logged while modules are loaded. */
declare const console: {
  debug(...values: unknown[]): void;
  log(...values: unknown[]): void;
  info(...values: unknown[]): void;
  warn(...values: unknown[]): void;
  error(...values: unknown[]): void;
};
";

/// Returns the declarations of all interfaces that a world imports or exports.
pub(super) fn declarations(resolve: &Resolve, world: WorldId) -> anyhow::Result<String> {
    let world = resolve.worlds.get(world).context("the contract has no such world")?;
    let mut interfaces: Vec<InterfaceId> = Vec::new();
    for item in world.imports.values().chain(world.exports.values()) {
        if let WorldItem::Interface { id, .. } = item
            && !interfaces.contains(id)
        {
            interfaces.push(*id);
        }
    }
    let mut text = GLOBALS.to_owned();
    for id in interfaces {
        module(&mut text, resolve, id)?;
    }
    Ok(text)
}

fn module(text: &mut String, resolve: &Resolve, id: InterfaceId) -> anyhow::Result<()> {
    let interface = resolve.interfaces.get(id).context("the contract has no such interface")?;
    let name = resolve.id_of(id).context("an interface without a name")?;
    text.push('\n');
    docs(text, "", &interface.docs);
    let _ = writeln!(text, "declare module \"{name}\" {{");
    let printer = Printer { resolve, interface };
    for of in interface.types.values() {
        printer.definition(text, *of, id).with_context(|| format!("in {name}"))?;
    }
    for function in interface.functions.values().filter(|one| one.kind.resource().is_none()) {
        docs(text, "  ", &function.docs);
        let signature = printer.signature(function)?;
        let _ = writeln!(text, "  export function {}{signature};", camel(&function.name));
    }
    text.push_str("}\n");
    Ok(())
}

struct Printer<'a> {
    resolve: &'a Resolve,
    interface: &'a Interface,
}

impl Printer<'_> {
    fn definition(&self, text: &mut String, of: TypeId, owner: InterfaceId) -> anyhow::Result<()> {
        let definition = self.get(of)?;
        let name = pascal(definition.name.as_deref().context("a type without a name")?);
        docs(text, "  ", &definition.docs);
        match &definition.kind {
            TypeDefKind::Record(record) => {
                let _ = writeln!(text, "  export interface {name} {{");
                for field in &record.fields {
                    docs(text, "    ", &field.docs);
                    let _ = writeln!(text, "    {}: {};", camel(&field.name), self.of(&field.ty)?);
                }
                text.push_str("  }\n");
            }
            TypeDefKind::Flags(flags) => {
                let _ = writeln!(text, "  export interface {name} {{");
                for flag in &flags.flags {
                    docs(text, "    ", &flag.docs);
                    let _ = writeln!(text, "    {}: boolean;", camel(&flag.name));
                }
                text.push_str("  }\n");
            }
            TypeDefKind::Enum(cases) => {
                let _ = writeln!(text, "  export type {name} =");
                for case in &cases.cases {
                    docs(text, "    ", &case.docs);
                    let _ = writeln!(text, "    | \"{}\"", case.name);
                }
                text.push_str("    ;\n");
            }
            TypeDefKind::Variant(variant) => {
                let _ = writeln!(text, "  export type {name} =");
                for case in &variant.cases {
                    docs(text, "    ", &case.docs);
                    let value = case.ty.as_ref().map(|it| self.of(it)).transpose()?;
                    let value = value.map_or_else(String::new, |value| format!("; val: {value}"));
                    let _ = writeln!(text, "    | {{ tag: \"{}\"{value} }}", case.name);
                }
                text.push_str("    ;\n");
            }
            TypeDefKind::Resource => self.resource(text, &name, of)?,
            // A type of another interface, or a second name.
            TypeDefKind::Type(Type::Id(source)) => {
                let source = self.get(*source)?;
                let from = source.name.as_deref().map(pascal).context("a type without a name")?;
                match source.owner {
                    TypeOwner::Interface(other) if other != owner => {
                        let other = self.resolve.id_of(other).context("an interface without a name")?;
                        let _ = writeln!(text, "  export type {name} = import(\"{other}\").{from};");
                    }
                    _ => drop(writeln!(text, "  export type {name} = {from};")),
                }
            }
            _ => drop(writeln!(text, "  export type {name} = {};", self.kind(&definition.kind)?)),
        }
        Ok(())
    }

    fn resource(&self, text: &mut String, name: &str, of: TypeId) -> anyhow::Result<()> {
        let _ = writeln!(text, "  export class {name} {{");
        let functions = || self.interface.functions.values().filter(|one| one.kind.resource() == Some(of));
        if !functions().any(|one| matches!(one.kind, FunctionKind::Constructor(_))) {
            text.push_str("    private constructor();\n");
        }
        for function in functions() {
            docs(text, "    ", &function.docs);
            let signature = self.signature(function)?;
            let item = camel(function.item_name());
            let _ = match function.kind {
                FunctionKind::Constructor(_) => writeln!(text, "    constructor{signature};"),
                FunctionKind::Static(_) | FunctionKind::AsyncStatic(_) => {
                    writeln!(text, "    static {item}{signature};")
                }
                _ => writeln!(text, "    {item}{signature};"),
            };
        }
        text.push_str("    /** Frees the handle, which is held until it is collected or the call ends. */\n");
        text.push_str("    [Symbol.dispose](): void;\n  }\n");
        Ok(())
    }

    /// Returns parameters and result. The error of a result is thrown.
    fn signature(&self, function: &Function) -> anyhow::Result<String> {
        let own =
            usize::from(matches!(function.kind, FunctionKind::Method(_) | FunctionKind::AsyncMethod(_)));
        let mut parameters = Vec::new();
        for parameter in function.params.iter().skip(own) {
            parameters.push(format!("{}: {}", camel(&parameter.name), self.of(&parameter.ty)?));
        }
        let parameters = parameters.join(", ");
        if matches!(function.kind, FunctionKind::Constructor(_)) {
            return Ok(format!("({parameters})"));
        }
        let result = function.result.as_ref().map(|of| self.result(of)).transpose()?;
        Ok(format!("({parameters}): {}", result.unwrap_or_else(|| "void".to_owned())))
    }

    fn result(&self, of: &Type) -> anyhow::Result<String> {
        if let Type::Id(id) = of
            && let TypeDef { name: None, kind: TypeDefKind::Result(result), .. } = self.get(*id)?
        {
            return result.ok.as_ref().map_or_else(|| Ok("void".to_owned()), |ok| self.of(ok));
        }
        self.of(of)
    }

    fn of(&self, of: &Type) -> anyhow::Result<String> {
        let simple = match of {
            Type::Bool => "boolean",
            // 64 bits, too: the tool takes and gives numbers, exact up to 2^53.
            Type::U8 | Type::S8 | Type::U16 | Type::S16 | Type::U32 | Type::S32 => "number",
            Type::U64 | Type::S64 | Type::F32 | Type::F64 => "number",
            Type::Char | Type::String => "string",
            Type::ErrorContext => bail!("error contexts have no form in TypeScript"),
            Type::Id(id) => {
                let definition = self.get(*id)?;
                return match &definition.name {
                    Some(name) => Ok(pascal(name)),
                    None => self.kind(&definition.kind),
                };
            }
        };
        Ok(simple.to_owned())
    }

    fn kind(&self, kind: &TypeDefKind) -> anyhow::Result<String> {
        Ok(match kind {
            TypeDefKind::Handle(Handle::Own(id) | Handle::Borrow(id)) => self.of(&Type::Id(*id))?,
            TypeDefKind::Type(of) => self.of(of)?,
            TypeDefKind::List(Type::U8) => "Uint8Array".to_owned(),
            TypeDefKind::List(of) | TypeDefKind::FixedLengthList(of, _) => format!("Array<{}>", self.of(of)?),
            TypeDefKind::Map(key, value) => format!("Map<{}, {}>", self.of(key)?, self.of(value)?),
            TypeDefKind::Tuple(tuple) => {
                let types = tuple.types.iter().map(|of| self.of(of)).collect::<Result<Vec<_>, _>>()?;
                format!("[{}]", types.join(", "))
            }
            TypeDefKind::Option(of) if self.is_option(of)? => {
                format!("{{ tag: \"none\" }} | {{ tag: \"some\"; val: {} }}", self.of(of)?)
            }
            TypeDefKind::Option(of) => format!("{} | null", self.of(of)?),
            TypeDefKind::Result(result) => {
                let value = |of: &Option<Type>| match of {
                    Some(of) => self.of(of).map(|of| format!("; val: {of}")),
                    None => Ok(String::new()),
                };
                format!("{{ tag: \"ok\"{} }} | {{ tag: \"err\"{} }}", value(&result.ok)?, value(&result.err)?)
            }
            other => bail!("a {} has no form in TypeScript", other.as_str()),
        })
    }

    fn is_option(&self, of: &Type) -> anyhow::Result<bool> {
        let Type::Id(id) = of else { return Ok(false) };
        Ok(matches!(self.get(*id)?.kind, TypeDefKind::Option(_)))
    }

    fn get(&self, id: TypeId) -> anyhow::Result<&TypeDef> {
        self.resolve.types.get(id).context("the contract has no such type")
    }
}

fn docs(text: &mut String, indent: &str, docs: &Docs) {
    let Some(contents) = docs.contents.as_deref() else { return };
    let contents = contents.trim().replace("*/", "* /");
    match contents.lines().count() {
        1 => drop(writeln!(text, "{indent}/** {contents} */")),
        _ => {
            let _ = writeln!(text, "{indent}/**");
            for line in contents.lines() {
                let _ = writeln!(text, "{}", format!("{indent} * {line}").trim_end());
            }
            let _ = writeln!(text, "{indent} */");
        }
    }
}

fn camel(name: &str) -> String {
    let name = pascal(name);
    let mut letters = name.chars();
    letters.next().map_or_else(String::new, |first| first.to_lowercase().chain(letters).collect())
}

fn pascal(name: &str) -> String {
    name.split('-')
        .flat_map(|part| {
            let mut letters = part.chars();
            letters.next().into_iter().flat_map(char::to_uppercase).chain(letters)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn of(wit: &str) -> anyhow::Result<String> {
        let mut resolve = Resolve::default();
        let package = resolve.push_str("a.wit", wit).unwrap();
        let world = resolve.select_world(&[package], None).unwrap();
        declarations(&resolve, world)
    }

    #[test]
    fn each_kind_of_type_has_a_form() {
        let text = of("package a:b@1.0.0;
            interface other { record size { width: u32 } }
            interface all {
              use other.{size};
              type sizes = list<size>;
              enum state { on, half-on }
              variant shape { none, circle(f32) }
              flags marks { is-new }
              /// A page.
              resource page {
                constructor(name: string);
                open: static func(n: u64) -> result<page, string>;
                /// Reads.
                /// More.
                read-all: async func(data: list<u8>, other: borrow<page>) -> result<_, string>;
              }
              deep: func(a: option<option<u32>>, b: tuple<bool, char>) -> option<sizes>;
              nested: func() -> list<result<u8, string>>;
            }
            world w { import all; }")
        .unwrap();
        for line in [
            "declare module \"a:b/all@1.0.0\" {",
            "  export type Size = import(\"a:b/other@1.0.0\").Size;",
            "  export type Sizes = Array<Size>;",
            "    | \"half-on\"",
            "    | { tag: \"circle\"; val: number }",
            "    isNew: boolean;",
            "  /** A page. */",
            "  export class Page {",
            "    constructor(name: string);",
            "    static open(n: number): Page;",
            "     * More.",
            "    [Symbol.dispose](): void;",
            "    readAll(data: Uint8Array, other: Page): void;",
            "  export function deep(a: { tag: \"none\" } | { tag: \"some\"; val: number | null }, b: [boolean, string]): Sizes | null;",
            "  export function nested(): Array<{ tag: \"ok\"; val: number } | { tag: \"err\"; val: string }>;",
        ] {
            assert!(text.lines().any(|found| found == line), "{line}\n{text}");
        }
    }

    #[test]
    fn a_type_without_a_form_is_named() {
        let error = of("package a:b@1.0.0; interface i { f: func(a: stream<u8>); } world w { import i; }");
        assert_eq!(format!("{:#}", error.unwrap_err()), "a stream has no form in TypeScript");
    }
}
