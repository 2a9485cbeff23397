//! Gives the functions of a component the types that the contract states.
//!
//! The tool for JavaScript cannot bind `async func`: it gets a contract with `func` only, and calls and implements every function
//! by the synchronous ABI. That ABI is also valid for a function of an async type, which then waits. What differs is one byte
//! for each function type, so the component is changed in place.

use std::collections::BTreeMap;

use anyhow::{Context, bail, ensure};
use wasmparser::{
    BinaryReader, CanonicalFunction, ComponentAlias, ComponentExternalKind, ComponentInstance,
    ComponentOuterAliasKind, ComponentType, ComponentTypeRef, InstanceTypeDeclaration, Parser, Payload,
};
use wit_parser::{Resolve, WorldId, WorldItem};

/// First byte of a function type of the component model.
const PLAIN: u8 = 0x40;
/// The same of an async one.
const ASYNC: u8 = 0x43;
/// Start of the name of a function that `wit-component` hands to the inner component of an exported interface.
const HANDED: &str = "import-func-";

/// The functions of a world, and whether they are async.
#[derive(Debug, Default)]
pub(super) struct Functions {
    /// Of imported interfaces, by interface and name.
    imports: BTreeMap<String, BTreeMap<String, bool>>,
    /// Of exported interfaces, by name.
    exports: BTreeMap<String, bool>,
}

impl Functions {
    /// Lists the functions of a world. Exported interfaces may not have functions of one name that differ.
    pub(super) fn of(resolve: &Resolve, world: WorldId) -> anyhow::Result<Self> {
        let world = resolve.worlds.get(world).context("the contract has no such world")?;
        let mut functions = Self::default();
        for (key, item) in &world.imports {
            let WorldItem::Interface { id, .. } = item else { continue };
            let interface = resolve.interfaces.get(*id).context("the contract has no such interface")?;
            let all = interface.functions.iter().map(|(name, it)| (name.clone(), it.kind.is_async()));
            functions.imports.insert(resolve.name_world_key(key), all.collect());
        }
        for (key, item) in &world.exports {
            let WorldItem::Interface { id, .. } = item else { continue };
            let interface = resolve.interfaces.get(*id).context("the contract has no such interface")?;
            for (name, function) in &interface.functions {
                let is_async = function.kind.is_async();
                let known = functions.exports.insert(name.clone(), is_async);
                ensure!(
                    known.is_none_or(|known| known == is_async),
                    "{}: another exported interface has a `{name}` that is async, or is not",
                    resolve.name_world_key(key)
                );
            }
        }
        Ok(functions)
    }

    /// Changes the function types of a component of the world without async types.
    pub(super) fn apply(&self, component: &mut [u8]) -> anyhow::Result<()> {
        let wanted = self.wanted(component)?;
        for (offset, is_async) in wanted {
            let Some(byte) = component.get_mut(offset) else { bail!("no byte at {offset}") };
            ensure!(matches!(*byte, PLAIN | ASYNC), "the byte at {offset} starts no function type");
            *byte = if is_async { ASYNC } else { PLAIN };
        }
        Ok(())
    }

    /// Returns the offset of each function type that a function of the world has, and whether it must be async.
    fn wanted(&self, component: &[u8]) -> anyhow::Result<BTreeMap<usize, bool>> {
        let mut wanted = Wanted::default();
        let mut scopes: Vec<Scope<'_>> = Vec::new();
        for payload in Parser::new(0).parse_all(component) {
            match payload.context("this is not a component")? {
                Payload::Version { encoding, .. } => {
                    ensure!(
                        !scopes.is_empty() || encoding == wasmparser::Encoding::Component,
                        "this is a module and not a component"
                    );
                    scopes.push(Scope::default());
                }
                Payload::End(_) => drop(scopes.pop()),
                payload => {
                    let scope = scopes.last_mut().context("a section outside of a component")?;
                    self.section(payload, component, scope, &mut wanted)?;
                }
            }
        }
        Ok(wanted.0)
    }

    fn section<'a>(
        &self,
        payload: Payload<'a>,
        component: &'a [u8],
        scope: &mut Scope<'a>,
        wanted: &mut Wanted,
    ) -> anyhow::Result<()> {
        match payload {
            Payload::ComponentTypeSection(types) => {
                for item in types.into_iter_with_offsets() {
                    let (offset, one) = item.context("reading a type")?;
                    scope.types.push(match one {
                        ComponentType::Func(_) => Type::Function(offset),
                        ComponentType::Instance(_) => Type::Instance(functions_of(component, offset)?),
                        _ => Type::Other,
                    });
                }
            }
            Payload::ComponentImportSection(imports) => {
                for import in imports {
                    let import = import.context("reading an import")?;
                    self.import(import.name.name, import.ty, scope, wanted)?;
                }
            }
            Payload::ComponentAliasSection(aliases) => {
                for alias in aliases {
                    match alias.context("reading an alias")? {
                        ComponentAlias::InstanceExport { kind: ComponentExternalKind::Func, .. } => {
                            scope.functions.push(None);
                        }
                        alias if names_type(&alias) => scope.types.push(Type::Other),
                        _ => {}
                    }
                }
            }
            Payload::ComponentCanonicalSection(functions) => {
                for function in functions {
                    if let CanonicalFunction::Lift { type_index, .. } =
                        function.context("reading a function")?
                    {
                        scope.functions.push(scope.function_type(type_index));
                    }
                }
            }
            Payload::ComponentInstanceSection(instances) => {
                for instance in instances {
                    let ComponentInstance::Instantiate { args, .. } =
                        instance.context("reading an instance")?
                    else {
                        continue;
                    };
                    for argument in args.iter().filter(|one| one.kind == ComponentExternalKind::Func) {
                        let handed = scope.functions.get(argument.index as usize).copied().flatten();
                        self.exported(argument.name.strip_prefix(HANDED), handed, wanted)?;
                    }
                }
            }
            Payload::ComponentExportSection(exports) => {
                for export in exports {
                    let export = export.context("reading an export")?;
                    match (export.kind, export.ty) {
                        (ComponentExternalKind::Type, _) => scope.types.push(Type::Other),
                        (ComponentExternalKind::Func, Some(ComponentTypeRef::Func(index))) => {
                            let offset = scope.function_type(index);
                            scope.functions.push(offset);
                            self.exported(Some(export.name.name), offset, wanted)?;
                        }
                        (ComponentExternalKind::Func, _) => scope.functions.push(None),
                        _ => {}
                    }
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn import(
        &self,
        name: &str,
        of: ComponentTypeRef,
        scope: &mut Scope<'_>,
        wanted: &mut Wanted,
    ) -> anyhow::Result<()> {
        match of {
            ComponentTypeRef::Type(_) => scope.types.push(Type::Other),
            ComponentTypeRef::Func(index) => {
                let offset = scope.function_type(index);
                scope.functions.push(offset);
                self.exported(name.strip_prefix(HANDED), offset, wanted)?;
            }
            ComponentTypeRef::Instance(index) => {
                let known = self.imports.get(name);
                let Some(Type::Instance(functions)) = scope.types.get(index as usize) else { return Ok(()) };
                for (function, offset) in functions {
                    if let Some(is_async) = known.and_then(|known| known.get(*function)) {
                        wanted.add(*offset, *is_async, function)?;
                    }
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// Notes the type of a function of an exported interface, if the function is one.
    fn exported(&self, name: Option<&str>, offset: Option<usize>, wanted: &mut Wanted) -> anyhow::Result<()> {
        let (Some(name), Some(offset)) = (name, offset) else { return Ok(()) };
        self.exports.get(name).map_or(Ok(()), |is_async| wanted.add(offset, *is_async, name))
    }
}

/// Offsets of function types.
#[derive(Default)]
struct Wanted(BTreeMap<usize, bool>);

impl Wanted {
    fn add(&mut self, offset: usize, is_async: bool, name: &str) -> anyhow::Result<()> {
        let known = self.0.insert(offset, is_async);
        ensure!(
            known.is_none_or(|known| known == is_async),
            "`{name}` has its type in common with another function, and only one of them is async"
        );
        Ok(())
    }
}

/// The numbered items of one component.
#[derive(Default)]
struct Scope<'a> {
    types: Vec<Type<'a>>,
    /// Offset of the type of each function, where it is known.
    functions: Vec<Option<usize>>,
}

impl Scope<'_> {
    fn function_type(&self, index: u32) -> Option<usize> {
        match self.types.get(index as usize) {
            Some(Type::Function(offset)) => Some(*offset),
            _ => None,
        }
    }
}

enum Type<'a> {
    /// Offset of a function type.
    Function(usize),
    /// Functions of an instance type, with the offsets of their types.
    Instance(Vec<(&'a str, usize)>),
    Other,
}

fn names_type(alias: &ComponentAlias<'_>) -> bool {
    matches!(
        alias,
        ComponentAlias::InstanceExport { kind: ComponentExternalKind::Type, .. }
            | ComponentAlias::Outer { kind: ComponentOuterAliasKind::Type, .. }
    )
}

/// Reads the functions of the instance type at `offset`. The parser tells no offsets of what an instance type contains.
fn functions_of(component: &[u8], offset: usize) -> anyhow::Result<Vec<(&str, usize)>> {
    let bytes = component.get(offset..).with_context(|| format!("no type at {offset}"))?;
    let mut reader = BinaryReader::new(bytes, offset);
    let mut types = Vec::new();
    let mut functions = Vec::new();
    reader.read_u8().context("reading an instance type")?;
    for _ in 0..reader.read_var_u32().context("reading an instance type")? {
        // A declaration starts with one byte for its sort.
        let type_at = reader.original_position() + 1;
        match reader.read::<InstanceTypeDeclaration<'_>>().context("reading an instance type")? {
            InstanceTypeDeclaration::Type(ComponentType::Func(_)) => types.push(Some(type_at)),
            InstanceTypeDeclaration::Type(_) => types.push(None),
            InstanceTypeDeclaration::Alias(alias) if names_type(&alias) => types.push(None),
            InstanceTypeDeclaration::Export { ty: ComponentTypeRef::Type(_), .. } => types.push(None),
            InstanceTypeDeclaration::Export { name, ty: ComponentTypeRef::Func(index) } => {
                let of = types.get(index as usize).copied().flatten();
                functions.extend(of.map(|offset| (name.name, offset)));
            }
            _ => {}
        }
    }
    Ok(functions)
}
