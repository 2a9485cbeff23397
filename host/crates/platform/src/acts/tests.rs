//! Acts on a house of fakes: what they change, and what stays where the store fails.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout)]

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use futures::{FutureExt, StreamExt};
use lector_core::port::FailedEngine;
use lector_core::{DeploymentName, ModelName};

use super::*;
use crate::access::{Admin, Caller};
use crate::fakes::{Deed, Script, config, platform_on, submission, word};
use crate::key::Scope;
use crate::store::{
    Collected, Digest, FlushId, Readable, Records, SqliteStore, Stored, UsageQuery, UsageRow,
};
use crate::submission::Order;

/// How a store fails.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Mood {
    Sound,
    /// It does as it is told, and its answer is lost.
    Mute,
    Full,
    ReadOnly,
}

/// A real store whose writes fail when the test says so.
struct Moody {
    inner: SqliteStore,
    mood: Mutex<Mood>,
}

impl Moody {
    fn new() -> Arc<Self> {
        Arc::new(Self { inner: SqliteStore::in_memory().unwrap(), mood: Mutex::new(Mood::Sound) })
    }

    fn be(&self, mood: Mood) {
        *self.mood.lock().unwrap() = mood;
    }

    /// The store begins with a write when it is asked, so it is asked only where the write is to happen.
    fn write<'a, T: Send + 'a>(&'a self, write: impl FnOnce() -> Stored<'a, T> + Send + 'a) -> Stored<'a, T> {
        let mood = *self.mood.lock().unwrap();
        async move {
            match mood {
                Mood::Sound => write().await,
                Mood::Mute => {
                    write().await?;
                    Err(StoreError::write("something", std::io::Error::other("its answer was lost")))
                }
                Mood::Full => Err(StoreError::Full { what: "something" }),
                Mood::ReadOnly => Err(StoreError::ReadOnly { what: "something" }),
            }
        }
        .boxed()
    }
}

impl Store for Moody {
    fn load(&self) -> Stored<'_, Records> {
        self.inner.load()
    }
    fn commit(&self, act: Act) -> Stored<'_, u64> {
        self.write(|| self.inner.commit(act))
    }
    fn audit(&self, query: AuditQuery) -> Stored<'_, Readable<AuditEntry>> {
        self.inner.audit(query)
    }
    fn add_usage(&self, flush: FlushId, rows: Vec<UsageRow>) -> Stored<'_, ()> {
        self.write(|| self.inner.add_usage(flush, rows))
    }
    fn usage(&self, query: UsageQuery) -> Stored<'_, Readable<UsageRow>> {
        self.inner.usage(query)
    }
    fn put_blob(&self, bytes: Arc<Vec<u8>>) -> Stored<'_, Digest> {
        self.write(|| self.inner.put_blob(bytes))
    }
    fn blob(&self, digest: Digest) -> Stored<'_, Option<Vec<u8>>> {
        self.inner.blob(digest)
    }
    fn collect(&self) -> Stored<'_, Collected> {
        self.inner.collect()
    }
}

struct House {
    platform: Arc<Platform>,
    script: Arc<Script>,
    store: Arc<Moody>,
    caller: Caller,
}

/// A house with the models `model` (of `standard`) and `spare`.
async fn house() -> House {
    let (script, store) = (Script::new(Deed::Read), Moody::new());
    let mut config = config(2, 4, ("detection", "model"));
    config.deployments[0].grants.insert("spare".to_owned(), "spare".into());
    let platform = platform_on(&script, config, store.clone()).await.unwrap();
    let caller = platform.of_this_machine().unwrap();
    House { platform, script, store, caller }
}

fn name() -> DeploymentName {
    "d".into()
}

impl House {
    async fn deploy(
        &self,
        component: &str,
        model: &str,
        destination: Option<Destination>,
    ) -> Result<u32, crate::StageFault> {
        let place = self.platform.deploy_place(&self.caller).unwrap();
        let request = DeployRequest {
            deployment: name(),
            component: ComponentSource::Bytes(component.as_bytes().to_vec()),
            settings: None,
            grants: Some(BTreeMap::from([("detection".to_owned(), ModelName::from(model))])),
            budget: None,
            destination,
        };
        Ok(self.platform.deploy(place, &self.caller, request).await?.number)
    }

    async fn read(&self, request: &str) -> String {
        let mut submission = submission(&self.platform, request, 1, Order::Page);
        submission.deployment = Some(name());
        let permit = self.platform.admit(&self.caller, None, std::time::Duration::from_secs(60)).unwrap();
        let events: Vec<_> = self.platform.submit(permit, submission).collect().await;
        let text = events.iter().find_map(|event| match event {
            crate::Event::Page { transcript, .. } => Some(transcript.text()),
            _ => None,
        });
        text.unwrap_or_else(|| events.iter().map(word).collect())
    }

    /// What was to stay, where engines were let go at all.
    async fn let_go(&self) -> Option<Vec<String>> {
        self.platform.let_engines_go().await;
        let stay = self.script.retained.lock().unwrap().pop()?;
        Some(stay.iter().map(ToString::to_string).collect())
    }
}

const PROMOTE: Option<Destination> = Some(Destination::Promote(None));

#[tokio::test]
async fn engines_go_with_the_last_who_needs_them() {
    let house = house().await;
    house.deploy("one", "spare", PROMOTE).await.unwrap();
    assert_eq!(house.let_go().await, None, "both are live");
    let lease = house.platform.lease(&house.caller, Some(&name())).unwrap();
    house.deploy("two", "model", PROMOTE).await.unwrap();
    assert_eq!(house.let_go().await, None, "a request still reads with it");
    drop(lease);
    assert_eq!(house.let_go().await, Some(vec!["model".to_owned()]));
    assert_eq!(house.let_go().await, None, "once");

    // What a rollback comes back to is loaded before anybody is sent there.
    house.script.prepared.lock().unwrap().clear();
    house.platform.rollback(&house.caller, &name()).await.unwrap();
    assert!(house.script.prepared.lock().unwrap().contains(&"spare".into()));
    house.platform.route(&house.caller, &name(), 2, Destination::Promote(None)).await.unwrap();
    assert_eq!(house.let_go().await, Some(vec!["model".to_owned()]));

    // Ready and not routed to yet: somebody is about to.
    house.deploy("three", "spare", None).await.unwrap();
    assert_eq!(house.let_go().await, None);
    house.platform.route(&house.caller, &name(), 3, Destination::Canary(10, None)).await.unwrap();
    house.platform.rollback(&house.caller, &name()).await.unwrap();
    assert_eq!(house.let_go().await, None, "the newest could be tried again");
    house.platform.drop_deployment(&house.caller, &name()).await.unwrap();
    assert_eq!(house.let_go().await, Some(vec!["model".to_owned()]));
}

#[tokio::test]
async fn a_store_that_fails_changes_nothing_and_stops_nobody() {
    let house = house().await;
    house.deploy("one ", "model", PROMOTE).await.unwrap();
    let before = house.platform.own_deployment(&house.caller, &name()).unwrap();
    for (mood, code) in [(Mood::Full, "storage_full"), (Mood::ReadOnly, "storage_read_only")] {
        house.store.be(mood);
        let refused = house.deploy("two ", "model", PROMOTE).await.unwrap_err();
        assert_eq!((refused.stage, refused.fault.code), (crate::Stage::Ready, code));
        let canary = Destination::Canary(10, None);
        for refused in [
            house.platform.rollback(&house.caller, &name()).await.unwrap_err().code,
            house.platform.route(&house.caller, &name(), 1, canary).await.unwrap_err().code,
            house.platform.drop_deployment(&house.caller, &name()).await.unwrap_err().code,
        ] {
            assert!([code, "nothing_before", "already_live"].contains(&refused), "{refused}");
        }
        let make = house.platform.make_key_for(&Admin::of_this_machine(), Scope::Admin, "ops").await;
        assert_eq!(make.err().unwrap().code, code);
        assert!(house.platform.is_open(), "no key is good that is not on disk");
        house.platform.flush_usage().await;
        assert!(house.read("r").await.starts_with("one "), "pages are read as before");
        house.store.be(Mood::Sound);
        let mut after = house.platform.own_deployment(&house.caller, &name()).unwrap();
        after.revisions[0].figures = before.revisions[0].figures;
        assert_eq!(after, before);
    }
    assert_eq!(house.deploy("two ", "model", PROMOTE).await.unwrap(), 2, "no number was used up");
    assert!(house.read("r").await.starts_with("two "));
}

#[tokio::test]
async fn an_act_whose_answer_is_lost_has_happened() {
    let house = house().await;
    house.deploy("one ", "model", PROMOTE).await.unwrap();
    house.deploy("two ", "model", None).await.unwrap();
    house.store.be(Mood::Mute);
    let route = async |revision| {
        house.platform.route(&house.caller, &name(), revision, Destination::Promote(None)).await.unwrap()
    };
    assert_eq!(route(2).await.weights[0].revision, 2);
    assert!(house.read("r").await.starts_with("two "));
    house.store.be(Mood::Sound);
    assert_eq!(route(1).await.weights[0].revision, 1, "memory and disk agree on where it stands");
}

#[tokio::test]
async fn pages_count_once_whatever_becomes_of_the_answer() {
    let house = house().await;
    house.deploy("one", "model", PROMOTE).await.unwrap();
    let pages = async || {
        let usage = house.platform.usage(&house.caller, 1).await.unwrap();
        usage.rows.iter().map(|row| row.counts.pages_ok).sum::<u64>()
    };
    house.read("a").await;
    for mood in [Mood::Mute, Mood::Full, Mood::Mute] {
        house.store.be(mood);
        house.platform.flush_usage().await;
        house.platform.flush_usage().await;
    }
    house.read("b").await;
    house.store.be(Mood::Sound);
    assert_eq!(pages().await, 2);
    house.platform.flush_usage().await;
    assert_eq!(pages().await, 2);
}

#[tokio::test]
async fn a_shadow_reads_along_and_is_compared() {
    let house = house().await;
    house.deploy("one", "model", PROMOTE).await.unwrap();
    house.deploy("two", "model", Some(Destination::Shadow(100))).await.unwrap();
    let compared = || {
        let view = house.platform.own_deployment(&house.caller, &name()).unwrap();
        view.revision(2).unwrap().comparison.unwrap()
    };
    assert!(house.read("r").await.starts_with("one"));
    crate::fakes::until("the shadow has read", || compared().pages_compared == 1).await;
    assert_eq!((compared().same_text, compared().line_difference), (Some(0.0), Some(0.0)));
    house.platform.route(&house.caller, &name(), 2, Destination::Shadow(0)).await.unwrap();
    assert!(house.platform.own_deployment(&house.caller, &name()).unwrap().shadow.is_none());
}

#[tokio::test]
async fn every_deployment_is_found_among_many() {
    let house = house().await;
    for number in 0..200 {
        let place = house.platform.deploy_place(&house.caller).unwrap();
        let request = DeployRequest {
            deployment: format!("d-{number}").into(),
            component: ComponentSource::Bytes(b"one".to_vec()),
            settings: None,
            grants: None,
            budget: None,
            destination: None,
        };
        house.platform.deploy(place, &house.caller, request).await.unwrap();
    }
    for name in ["d-0", "d-99", "d-199", "standard"].map(DeploymentName::from) {
        let found = house.platform.lease(&house.caller, Some(&name)).unwrap();
        assert_eq!((found.number(), found.deployment()), (1, &name));
    }
}

#[tokio::test]
async fn a_batching_program_is_asked_before_anybody_depends_on_it_and_is_shown() {
    let house = house().await;
    house.deploy("it plans", "model", PROMOTE).await.unwrap();
    let failed = house.deploy("it plans badly", "model", PROMOTE).await.unwrap_err();
    assert_eq!((failed.stage, failed.fault.code), (crate::Stage::Rehearsed, "batching_plan_failed"));
    for told in ["one waiting run", "does not wait"] {
        assert!(failed.fault.message.contains(told), "{}", failed.fault);
    }
    house.deploy("it has none", "model", None).await.unwrap();
    house.read("r").await;
    let shown = house.platform.own_deployment(&house.caller, &name()).unwrap();
    let program = shown.revision(1).unwrap().program.clone().unwrap();
    assert_eq!((program.asked, program.disabled), (0, false), "what the rehearsal asked is not counted");
    assert_eq!(shown.revisions.iter().filter(|revision| revision.program.is_some()).count(), 1);
}

#[tokio::test]
async fn engines_are_tried_again_once_it_is_written_down() {
    let house = house().await;
    let one = |model: &str| FailedEngine {
        model: model.into(),
        rung: "openvino/bf16".into(),
        why: "no disk".into(),
    };
    *house.script.failed_engines.lock().unwrap() = vec![one("model"), one("spare")];
    let admin = Admin::of_this_machine();
    let model = ModelName::from("spare");
    house.store.be(Mood::Full);
    let fault = house.platform.retry_engines(&admin, Some(&model)).await.unwrap_err();
    assert_eq!(fault.code, "storage_full");
    assert_eq!(house.script.failed_engines.lock().unwrap().len(), 2, "not written, not done");
    house.store.be(Mood::Sound);
    assert_eq!(house.platform.retry_engines(&admin, Some(&model)).await.unwrap(), [one("spare")]);
    assert_eq!(*house.script.failed_engines.lock().unwrap(), [one("model")]);
    let entry =
        house.store.audit(AuditQuery { limit: 1, ..AuditQuery::default() }).await.unwrap().rows.remove(0);
    assert_eq!(
        (entry.act.as_str(), entry.target.as_str(), entry.actor.as_str()),
        ("engines_retry", "spare", "cli")
    );
    assert_eq!(entry.from[0]["why"], "no disk");
    assert_eq!(house.platform.retry_engines(&admin, None).await.unwrap(), [one("model")]);
    assert_eq!(house.platform.retry_engines(&admin, None).await.unwrap(), []);
}
