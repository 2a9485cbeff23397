//! Damages each cell of each table, one at a time, and starts a server on the folder.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout)]

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use lector_core::{DeploymentName, TenantName};

use lector_control::store::{SqliteStore, backup, damaging, when_free};
use lector_control::{
    Admin, ComponentSource, ControlPlane, Credentials, DeployFault, DeployRequest, Destination, Grants,
    Scope, Settings, TenantPolicy,
};

use crate::fakes::{Behavior, Script, config, platform_on, submission, word};
use crate::request::{Event, Order};
use crate::service::DocumentService;

/// A server of fakes; most calls go to its control plane.
struct Server(Arc<DocumentService>);

impl std::ops::Deref for Server {
    type Target = ControlPlane;

    fn deref(&self) -> &ControlPlane {
        self.0.control()
    }
}

/// A request of a tenant, and the expected text from an undamaged server.
struct ReadinessCheck {
    tenant: &'static str,
    deployment: &'static str,
    reads: &'static str,
}

const PROBES: [ReadinessCheck; 5] = [
    ReadinessCheck { tenant: "default", deployment: "standard", reads: "page 0" },
    ReadinessCheck { tenant: "acme", deployment: "one", reads: "acme's second" },
    ReadinessCheck { tenant: "acme", deployment: "two", reads: "acme's other" },
    ReadinessCheck { tenant: "zeta", deployment: "one", reads: "zeta's" },
    ReadinessCheck { tenant: "zeta", deployment: "standard", reads: "page 0" },
];

/// The text of each tenant's key; the host's key is an administrator key.
type Keys = BTreeMap<&'static str, String>;

/// Longest wait for a folder, for a busy machine.
const FREE_WAIT: Duration = Duration::from_secs(120);

async fn start(dir: &Path) -> Server {
    // The server before, or a child of another test that has not begun its program, may hold the folder for a moment.
    let store = Arc::new(when_free(FREE_WAIT, || SqliteStore::open(dir)).await.unwrap());
    Server(
        platform_on(&Script::new(Behavior::Read), config(2, 4, ("detection", "model")), store).await.unwrap(),
    )
}

impl Server {
    async fn deploy_for(&self, key: &str, name: &str, component: &str) -> Result<u32, DeployFault> {
        let grants = BTreeMap::from([("detection".to_owned(), "model".into())]);
        self.deploy_with(key, name, component, Grants::Named(grants)).await
    }

    async fn deploy_with(
        &self,
        key: &str,
        name: &str,
        component: &str,
        grants: Grants,
    ) -> Result<u32, DeployFault> {
        let principal = self.principal(Credentials { key: Some(key), ..Credentials::default() }).unwrap();
        let request = DeployRequest {
            deployment: name.into(),
            component: ComponentSource::Bytes(component.as_bytes().to_vec()),
            settings: Some(Settings::of(&serde_json::json!({ "for": component })).unwrap()),
            grants,
            budget: None,
            wraps: None,
            destination: Some(Destination::Promote(None)),
            precondition: Default::default(),
        };
        let place = self.deploy_permit(&principal, std::time::Duration::from_secs(60)).await.unwrap();
        Ok(self.deploy(place, &principal, request).await?.number)
    }

    /// Reads a document with a key; returns the text, or the code of the fault.
    async fn read_for(&self, key: &str, deployment: &str) -> Result<String, String> {
        let principal = self.principal(Credentials { key: Some(key), ..Credentials::default() });
        let principal = principal.map_err(|fault| fault.code.to_owned())?;
        let mut submission = submission(&self.0, "r", 1, Order::Page);
        submission.principal = principal.clone();
        submission.request.deployment = Some(DeploymentName::from(deployment));
        let permit = self.0.admit(&principal, 0, Duration::from_secs(60)).unwrap();
        let events: Vec<_> = self.0.submit(permit, submission, deployment.into()).collect().await;
        let text = events.iter().find_map(|event| match event {
            Event::Page { transcript, .. } => Some(transcript.text()),
            _ => None,
        });
        text.ok_or_else(|| events.iter().map(word).collect::<String>().replace("failed ", ""))
    }
}

/// Makes a folder with three tenants, their keys, deployments, revisions, usage and audit log.
async fn sound(dir: &Path) -> Keys {
    let platform = start(dir).await;
    let admin = Admin::of_this_machine();
    let mut keys = Keys::new();
    let new = platform.create_key_for(&admin, Scope::Admin, "ops").await.unwrap();
    keys.insert("default", new.text.reveal().to_owned());
    for tenant in ["acme", "zeta"] {
        platform.put_tenant(&admin, tenant.into(), TenantPolicy::default()).await.unwrap();
        let new = platform.create_key_for(&admin, Scope::Tenant(tenant.into()), "ci").await.unwrap();
        keys.insert(tenant, new.text.reveal().to_owned());
    }
    for (tenant, name, component) in [
        ("acme", "one", "acme's first "),
        ("acme", "one", "acme's second "),
        ("acme", "two", "acme's other "),
        ("zeta", "one", "zeta's "),
    ] {
        platform.deploy_for(&keys[tenant], name, component).await.unwrap();
    }
    for ReadinessCheck { tenant, deployment, .. } in PROBES {
        platform.read_for(&keys[tenant], deployment).await.unwrap();
    }
    platform.flush_usage().await.ok();
    keys
}

/// Returns whether damage of the row named `names` (its key in the undamaged folder) may make a check fail.
fn may_fail(table: &str, names: &[String], probe: &ReadinessCheck) -> bool {
    let is = |at: usize, what: &str| names.get(at).is_some_and(|name| name == what);
    match table {
        "tenants" => is(0, probe.tenant),
        // The id of a key does not name its tenant.
        "keys" => true,
        "settings" if is(1, "") => is(0, probe.tenant),
        // The host's own are made again from the configuration.
        "revisions" | "routes" | "settings" => is(0, probe.tenant) && is(1, probe.deployment),
        _ => false,
    }
}

/// Codes that name the problem.
const CLEAR: [&str; 4] =
    ["revision_quarantined", "deployment_quarantined", "tenant_quarantined", "key_invalid"];

/// Starts on a folder with one damaged cell, and checks that everything else is served.
async fn serves_the_rest(dir: &Path, keys: &Keys, cell: &damaging::Cell, what: &str) {
    let platform = start(dir).await;
    assert!(!platform.is_open(), "{what}: a damaged key opens the server");
    let mut refused = 0;
    for probe in &PROBES {
        match platform.read_for(&keys[probe.tenant], probe.deployment).await {
            Ok(text) => assert!(text.contains(probe.reads), "{what}: {text} for {}", probe.reads),
            Err(code) => {
                refused += 1;
                let case = format!("{what}: {} {}: {code}", probe.tenant, probe.deployment);
                assert!(may_fail(cell.table.as_str(), &cell.row, probe), "{case}");
                assert!(CLEAR.contains(&code.as_str()), "{case}");
            }
        }
    }
    // A row that is left out is reported.
    let damaged: usize = platform.damaged_counts().values().sum();
    assert!(refused == 0 || damaged > 0, "{what}");
    assert!(cell.table != "keys" || refused <= 2, "{what}: one key, one tenant");
    // Mutations and usage continue.
    let admin = Admin::of_this_machine();
    let put = platform.put_tenant(&admin, "new".into(), TenantPolicy::default()).await;
    assert!(put.unwrap().1, "{what}");
    let audit = platform.all_audit(&admin, None, 100).await.unwrap();
    assert!(audit.rows.iter().any(|entry| entry.target == "new"), "{what}");
    let usage = platform.all_usage(&admin, 1).await.unwrap();
    let used = usage.rows.iter().filter(|row| row.tenant == TenantName::from("zeta"));
    let pages: u64 = used.map(|row| row.counts.pages_ok).sum();
    let theirs = cell.table == "usage" && cell.row.first().is_some_and(|name| name == "zeta");
    assert!(theirs || refused > 0 || pages >= 4, "{what}: {pages} pages of zeta");
}

async fn every_damage(tables: &[&str], every_kind: bool, through: impl Fn(&Path, &Path)) {
    let (origin, cases) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let keys = sound(&origin.path().join("data")).await;
    let template = origin.path().join("template");
    backup::backup(&origin.path().join("data"), &template).unwrap();
    let cells = damaging::cells(&template);
    assert!(cells.len() > 100 && cells.iter().any(|cell| cell.table == "settings"));
    let mut count = 0;
    for cell in cells.iter().filter(|cell| tables.contains(&cell.table.as_str())) {
        for (kind, value) in
            damaging::KINDS.iter().enumerate().filter(|(kind, _)| every_kind || kind % 4 == 0)
        {
            let case = cases.path().join(format!("{count}"));
            damaging::copy(&template, &case);
            if !damaging::damage(&case, cell, value) {
                continue;
            }
            count += 1;
            let what = format!("{}.{} of {:?} = {value} ({kind})", cell.table, cell.column, cell.row);
            let serving = cases.path().join("serving");
            through(&case, &serving);
            serves_the_rest(&serving, &keys, cell, &what).await;
            std::fs::remove_dir_all(&serving).unwrap();
        }
    }
    println!("{count} folders with one damaged cell each");
    assert!(count > 50);
}

fn as_it_is(case: &Path, serving: &Path) {
    std::fs::rename(case, serving).unwrap();
}

#[tokio::test]
async fn one_damaged_row_leaves_everything_else_served() {
    every_damage(&["tenants", "keys", "revisions", "routes", "settings"], true, as_it_is).await;
}

#[tokio::test]
async fn a_damaged_row_of_audit_or_usage_leaves_everything_else_served() {
    every_damage(&["audit", "usage", "flushes", "sqlite_sequence"], true, as_it_is).await;
}

#[tokio::test]
async fn a_damaged_row_passes_through_backup_and_restore() {
    let all = [
        "tenants",
        "keys",
        "revisions",
        "routes",
        "settings",
        "audit",
        "usage",
        "flushes",
        "sqlite_sequence",
    ];
    every_damage(&all, false, |case, serving| {
        let copy = case.with_extension("copy");
        backup::backup(case, &copy).unwrap();
        backup::restore(&copy, serving, || Ok::<_, lector_control::store::StoreError>(())).unwrap();
        for done in [case, &copy] {
            std::fs::remove_dir_all(done).unwrap();
        }
    })
    .await;
}

/// Checks that a quarantine is shown, and that it ends with the mutation that replaces the row.
#[tokio::test]
async fn damage_is_shown_and_repaired() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("data");
    let keys = sound(&dir).await;
    let garbage = "'{\"a\":'";
    for (table, row) in
        [("tenants", vec!["zeta"]), ("revisions", vec!["acme", "one", "2"]), ("routes", vec!["acme", "two"])]
    {
        let row = row.into_iter().map(str::to_owned).collect();
        let cell = damaging::Cell { table: table.into(), column: "record".into(), row };
        assert!(damaging::damage(&dir, &cell, garbage));
    }
    let platform = start(&dir).await;
    let admin = Admin::of_this_machine();
    let acme =
        platform.principal(Credentials { key: Some(&keys["acme"]), ..Credentials::default() }).unwrap();
    let read = async |tenant: &str, deployment: &str| platform.read_for(&keys[tenant], deployment).await;
    let err = |code: &str| Err::<String, _>(code.to_owned());
    assert_eq!(platform.damaged_rows(&admin).len(), 3);
    assert_eq!(read("zeta", "one").await, err("tenant_quarantined"));
    assert_eq!(read("acme", "one").await, err("revision_quarantined"));
    assert_eq!(read("acme", "two").await, err("deployment_quarantined"));

    let shown = platform.own_deployment(&acme, &"one".into()).unwrap();
    let view = shown.revision(2).unwrap();
    assert_eq!((view.state, view.percent), (lector_control::RevisionState::Quarantined, 100));
    assert!(view.reason.as_ref().unwrap().contains("record"), "{view:?}");
    let name: DeploymentName = "one".into();
    let again = platform.route(&acme, &name, 2, Destination::Promote(None)).await.unwrap_err();
    assert_eq!(again.code, "revision_quarantined");
    platform.route(&acme, &name, 1, Destination::Promote(None)).await.unwrap();
    assert!(read("acme", "one").await.unwrap().contains("first"));
    assert_eq!(
        platform.rollback(&acme, &name, lector_control::RollbackRequest::default()).await.unwrap_err().code,
        "revision_quarantined"
    );
    // Its grants are not known, and those of an older revision are others.
    let refused =
        platform.deploy_with(&keys["acme"], "one", "acme's third ", Grants::Inherited).await.unwrap_err();
    assert_eq!(refused.fault.code, "newest_quarantined");
    assert!(refused.fault.message.contains("`grants`"), "{}", refused.fault);
    assert_eq!(platform.deploy_for(&keys["acme"], "one", "acme's third ").await.unwrap(), 3);

    platform.route(&acme, &"two".into(), 1, Destination::Promote(None)).await.unwrap();
    assert!(read("acme", "two").await.unwrap().contains("other"));
    assert!(
        !platform.put_tenant(&admin, "zeta".into(), TenantPolicy::default()).await.unwrap().1,
        "no new one"
    );
    assert!(read("zeta", "one").await.unwrap().contains("zeta's"));
    assert_eq!(platform.damaged_counts().values().sum::<usize>(), 1, "the revision's row is as it was");
    platform.delete_deployment(&acme, &name).await.unwrap();
    assert!(platform.damaged_rows(&admin).is_empty());
    // The deletion starts a run of the collection, which uses the folder; the first run was at the start.
    let collected = || {
        let tasks = platform.background_tasks().status();
        let task = tasks.iter().find(|task| task.name == "component_collection").unwrap();
        task.runs >= 2 && task.running == 0
    };
    crate::fakes::until("the components are collected", collected).await;
    drop((acme, platform));
    assert!(start(&dir).await.damaged_rows(&admin).is_empty());
}
