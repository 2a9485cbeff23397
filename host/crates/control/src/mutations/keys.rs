//! Keys: creation, rotation, revocation, and the collection of keys that ended long ago.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use lector_core::{Fault, Kind, TenantName};
use serde_json::{Value, json};

use super::{AuditContext, Mutation};
use crate::access::{Actor, Admin, Principal};
use crate::api_types::KeyView;
use crate::directory::Directory;
use crate::key::{self, KeyId, KeyRecord, KeyText, Scope};
use crate::plane::ControlPlane;
use crate::store::{Change, DamagedRow, Table};

/// Most valid keys of one owner.
const KEYS_MAX: usize = 100;
/// Longest label, in characters.
const LABEL_CHARS_MAX: usize = 100;
/// Longest time for which a rotated key stays valid.
const GRACE_MAX: Duration = Duration::from_secs(30 * 24 * 3600);

/// Time for which a revoked or expired key stays in lists.
const ENDED_KEPT: Duration = Duration::from_secs(30 * 24 * 3600);
/// Most revoked and expired keys of one owner; the audit log has the rest.
const ENDED_MAX: usize = 100;

/// A new key.
#[derive(Debug)]
pub struct CreatedKey {
    /// The key as later lists show it.
    pub view: KeyView,
    /// The text of the key, shown once.
    pub text: KeyText,
}

/// The keys that a caller may change.
#[derive(Clone, Copy)]
enum KeyScope<'a> {
    Tenant(&'a TenantName),
    Any,
}

impl KeyScope<'_> {
    fn covers(self, scope: &Scope) -> bool {
        match self {
            Self::Tenant(name) => scope.tenant() == Some(name),
            Self::Any => true,
        }
    }
}

impl ControlPlane {
    /// Returns the tenant's keys.
    pub fn keys(&self, principal: &Principal) -> Result<Vec<KeyView>, Fault> {
        principal.may_manage()?;
        Ok(self.key_views(|scope| scope.tenant() == Some(principal.tenant())))
    }

    /// Returns the keys of all tenants and of administrators.
    pub fn all_keys(&self, _: &Admin) -> Vec<KeyView> {
        self.key_views(|_| true)
    }

    fn key_views(&self, wanted: impl Fn(&Scope) -> bool) -> Vec<KeyView> {
        let directory = self.directory.load();
        let now = self.clock.now_ms();
        let keys = directory.keys.values().filter(|key| wanted(&key.scope));
        let mut views: Vec<KeyView> = keys.map(|key| KeyView::of(key, now)).collect();
        views.sort_by(|a, b| (a.created_at, &a.id).cmp(&(b.created_at, &b.id)));
        views
    }

    /// Creates a key for the principal's tenant.
    pub async fn create_key(&self, principal: &Principal, label: &str) -> Result<CreatedKey, Fault> {
        principal.may_manage()?;
        self.make_scoped(&principal.actor, Scope::Tenant(principal.tenant().clone()), label).await
    }

    /// Creates a key with any scope.
    pub async fn create_key_for(
        &self,
        admin: &Admin,
        scope: Scope,
        label: &str,
    ) -> Result<CreatedKey, Fault> {
        self.make_scoped(&admin.actor, scope, label).await
    }

    async fn make_scoped(&self, actor: &Actor, scope: Scope, label: &str) -> Result<CreatedKey, Fault> {
        let label = label_of(label)?;
        let mut mutation = self.begin(actor).await?;
        let now = self.clock.now_ms();
        may_have_key(&mutation.directory, &scope)?;
        room_for(&mutation.directory, &scope, now)?;
        let new = key::make(scope, label, now).map_err(no_randomness)?;
        let view = KeyView::of(&new.record, now);
        put(&mut mutation.directory, &new.record);
        mutation.change(Change::PutKey(new.record.clone()));
        collect(&mut mutation, self.clock.now_ms());
        mutation.commit(note(actor, &new.record, "key_create", Value::Null, json!(view))).await?;
        Ok(CreatedKey { view, text: new.text })
    }

    /// Creates a key that replaces one of the tenant's; the old key stays valid for `grace`.
    pub async fn rotate_key(
        &self,
        principal: &Principal,
        id: &KeyId,
        grace: Duration,
    ) -> Result<CreatedKey, Fault> {
        principal.may_manage()?;
        self.rotate(&principal.actor, KeyScope::Tenant(principal.tenant()), id, grace).await
    }

    /// Creates a key that replaces any key; the old key stays valid for `grace`.
    pub async fn rotate_any_key(
        &self,
        admin: &Admin,
        id: &KeyId,
        grace: Duration,
    ) -> Result<CreatedKey, Fault> {
        self.rotate(&admin.actor, KeyScope::Any, id, grace).await
    }

    async fn rotate(
        &self,
        actor: &Actor,
        scope_limit: KeyScope<'_>,
        id: &KeyId,
        grace: Duration,
    ) -> Result<CreatedKey, Fault> {
        if grace > GRACE_MAX {
            let message = format!(
                "A rotated key can stay valid for at most {} s: send a smaller `grace_s`.",
                GRACE_MAX.as_secs()
            );
            return Err(Fault::new(Kind::Invalid, "grace_invalid", message));
        }
        let mut mutation = self.begin(actor).await?;
        let now = self.clock.now_ms();
        let old = good(&mutation.directory, scope_limit, id, now)?;
        // Without a grace the new key takes the place of the old one.
        if !grace.is_zero() {
            room_for(&mutation.directory, &old.scope, now)?;
        }
        let new = key::make(old.scope.clone(), old.label.clone(), now).map_err(no_randomness)?;
        let mut ended = (*old).clone();
        if grace.is_zero() {
            ended.revoked_at_ms = Some(now);
        } else {
            let until = now.saturating_add(u64::try_from(grace.as_millis()).unwrap_or(u64::MAX));
            ended.expires_at_ms = Some(old.expires_at_ms.map_or(until, |at| at.min(until)));
        }
        for record in [&ended, &new.record] {
            put(&mut mutation.directory, record);
            mutation.change(Change::PutKey(record.clone()));
        }
        collect(&mut mutation, now);
        let view = KeyView::of(&new.record, now);
        mutation
            .commit(note(actor, &old, "key_rotate", json!(KeyView::of(&ended, now)), json!(view)))
            .await?;
        Ok(CreatedKey { view, text: new.text })
    }

    /// Revokes one of the tenant's keys.
    pub async fn revoke_key(&self, principal: &Principal, id: &KeyId) -> Result<KeyView, Fault> {
        principal.may_manage()?;
        self.revoke(&principal.actor, KeyScope::Tenant(principal.tenant()), id).await
    }

    /// Revokes any key except the last administrator key.
    pub async fn revoke_any_key(&self, admin: &Admin, id: &KeyId) -> Result<KeyView, Fault> {
        self.revoke(&admin.actor, KeyScope::Any, id).await
    }

    /// Deletes the row of an unreadable key, which gives no rights. Its owner, if known, creates another key.
    pub async fn drop_damaged_key(&self, admin: &Admin, id: &KeyId) -> Result<(), Fault> {
        let mut mutation = self.begin(&admin.actor).await?;
        let damaged = |row: &DamagedRow| row.table == Table::Keys && row.key.as_deref() == Some(id.as_str());
        let row = mutation.directory.damaged.iter().find(|row| damaged(row)).cloned();
        let row = row.ok_or_else(|| key_not_found(id))?;
        // A server without any key accepts requests from any client.
        if mutation.directory.keys.is_empty() {
            let message = "This is the last key, and a server without keys is open: create an administrator key first, then \
                           delete this row.";
            return Err(Fault::new(Kind::Conflict, "last_admin_key", message));
        }
        mutation.change(Change::DropKey(id.clone()));
        let note = AuditContext {
            actor: &admin.actor,
            tenant: row.tenant.as_ref(),
            action: "key_drop_damaged",
            target: id.to_string(),
            from: json!(row),
            to: Value::Null,
        };
        mutation.commit(note).await
    }

    async fn revoke(&self, actor: &Actor, scope_limit: KeyScope<'_>, id: &KeyId) -> Result<KeyView, Fault> {
        let mut mutation = self.begin(actor).await?;
        let now = self.clock.now_ms();
        let old = good(&mutation.directory, scope_limit, id, now)?;
        // A key that expires does not count, because later no administrator key would be left.
        let stays = |key: &KeyRecord| key.is_active(now) && key.expires_at_ms.is_none();
        let others = |key: &&Arc<KeyRecord>| key.scope == Scope::Admin && key.id != *id && stays(key);
        if old.scope == Scope::Admin && !mutation.directory.keys.values().any(|key| others(&key)) {
            let message = "This is the last administrator key without an expiry: create another one first.";
            return Err(Fault::new(Kind::Conflict, "last_admin_key", message));
        }
        let ended = KeyRecord { revoked_at_ms: Some(now), ..(*old).clone() };
        put(&mut mutation.directory, &ended);
        mutation.change(Change::PutKey(ended.clone()));
        collect(&mut mutation, now);
        let view = KeyView::of(&ended, now);
        mutation.commit(note(actor, &old, "key_revoke", json!(KeyView::of(&old, now)), json!(view))).await?;
        Ok(view)
    }
}

impl ControlPlane {
    /// Deletes the keys that ended long ago.
    pub(crate) async fn collect_keys(&self) -> Result<(), Fault> {
        if ended_long_ago(&self.directory.load(), self.clock.now_ms()).is_empty() {
            return Ok(());
        }
        let actor = Actor::named("key_collection");
        let mut mutation = self.begin(&actor).await?;
        let ids = collect(&mut mutation, self.clock.now_ms());
        let from = json!(ids.iter().map(KeyId::as_str).collect::<Vec<_>>());
        let target = format!("{} keys", ids.len());
        mutation
            .commit(AuditContext {
                actor: &actor,
                tenant: None,
                action: "key_collect",
                target,
                from,
                to: Value::Null,
            })
            .await
    }
}

/// Adds the deletion of the keys that ended long ago to a mutation, and returns their ids.
fn collect(mutation: &mut Mutation, now_ms: u64) -> Vec<KeyId> {
    let ids = ended_long_ago(&mutation.directory, now_ms);
    for id in &ids {
        mutation.directory.keys.remove(id);
        mutation.change(Change::DropKey(id.clone()));
    }
    ids
}

/// Returns the keys that ended longer than [`ENDED_KEPT`] ago, and those of an owner beyond its newest [`ENDED_MAX`].
fn ended_long_ago(directory: &Directory, now_ms: u64) -> Vec<KeyId> {
    // A server without any key is open: while no key is valid, no key is deleted.
    if !directory.keys.values().any(|key| key.is_active(now_ms)) {
        return Vec::new();
    }
    let mut by_owner: HashMap<&Scope, Vec<(u64, &KeyId)>> = HashMap::new();
    for key in directory.keys.values().filter(|key| !key.is_active(now_ms)) {
        let ended = key.revoked_at_ms.into_iter().chain(key.expires_at_ms).min().unwrap_or(now_ms);
        by_owner.entry(&key.scope).or_default().push((ended, &key.id));
    }
    let kept_ms = u64::try_from(ENDED_KEPT.as_millis()).unwrap_or(u64::MAX);
    let mut ids = Vec::new();
    for mut ended in by_owner.into_values() {
        ended.sort_unstable_by(|one, other| other.cmp(one));
        let is_old = |at: u64| now_ms.saturating_sub(at) > kept_ms;
        let beyond = ended.iter().enumerate().filter(|(place, (at, _))| *place >= ENDED_MAX || is_old(*at));
        ids.extend(beyond.map(|(_, (_, id))| (*id).clone()));
    }
    ids
}

fn put(directory: &mut Directory, record: &KeyRecord) {
    directory.keys.insert(record.id.clone(), Arc::new(record.clone()));
}

fn note<'a>(
    actor: &'a Actor,
    key: &'a KeyRecord,
    action: &'static str,
    from: Value,
    to: Value,
) -> AuditContext<'a> {
    AuditContext { actor, tenant: key.scope.tenant(), action, target: key.id.to_string(), from, to }
}

/// Returns the key with that id, if it is valid and the caller may change it.
fn good(
    directory: &Directory,
    scope_limit: KeyScope<'_>,
    id: &KeyId,
    now_ms: u64,
) -> Result<Arc<KeyRecord>, Fault> {
    let found = directory.keys.get(id).filter(|key| scope_limit.covers(&key.scope) && key.is_active(now_ms));
    found.cloned().ok_or_else(|| key_not_found(id))
}

fn key_not_found(id: &KeyId) -> Fault {
    let shown: String = id.as_str().chars().filter(|c| !c.is_control()).take(40).collect();
    let message = format!("There is no valid key `{shown}`: list the keys to find its id.");
    Fault::new(Kind::NotFound, "key_not_found", message)
}

/// Checks that the owner may have a key.
fn may_have_key(directory: &Directory, scope: &Scope) -> Result<(), Fault> {
    let Some(tenant) = scope.tenant() else { return Ok(()) };
    directory.tenant(tenant)?;
    // The first key closes an open server: without an administrator key, no client could administer it.
    if !directory.keys.values().any(|key| key.scope == Scope::Admin) {
        let message = "The first key of a server must be an administrator key: create an administrator key, then this key.";
        return Err(Fault::new(Kind::Conflict, "admin_key_first", message));
    }
    Ok(())
}

/// Checks that the owner may have one more valid key.
fn room_for(directory: &Directory, scope: &Scope, now_ms: u64) -> Result<(), Fault> {
    let good = directory.keys.values().filter(|key| key.scope == *scope && key.is_active(now_ms)).count();
    if good >= KEYS_MAX {
        let message = format!(
            "There are {KEYS_MAX} valid keys, the limit: revoke unused keys. A rotation with `grace_s` 0 needs no room."
        );
        return Err(Fault::new(Kind::Conflict, "too_many_keys", message));
    }
    Ok(())
}

fn label_of(label: &str) -> Result<String, Fault> {
    let fits = label.chars().count() <= LABEL_CHARS_MAX && !label.chars().any(char::is_control);
    if fits {
        return Ok(label.to_owned());
    }
    let message = format!(
        "The label has more than {LABEL_CHARS_MAX} characters, or control characters: send another label."
    );
    Err(Fault::new(Kind::Invalid, "label_invalid", message))
}

fn no_randomness(error: getrandom::Error) -> Fault {
    let message = "The operating system returned no random bytes, so no key was created: try again, and tell the operator.";
    Fault::new(Kind::Unavailable, "no_randomness", message).with_detail(error)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    const DAY_MS: u64 = 24 * 3600 * 1000;

    fn ended(scope: Scope, revoked_at_ms: Option<u64>, expires_at_ms: Option<u64>) -> KeyRecord {
        let record = key::make(scope, String::new(), 0).unwrap().record;
        KeyRecord { revoked_at_ms, expires_at_ms, ..record }
    }

    #[test]
    fn keys_that_ended_long_ago_are_collected() {
        let now = 100 * DAY_MS;
        let tenant = || Scope::Tenant("acme".into());
        let check = |keys: Vec<KeyRecord>, expect: usize| {
            let valid = ended(Scope::Admin, None, None);
            let mut all = keys;
            all.push(valid.clone());
            let ids = ended_long_ago(&Directory::with_keys(all), now);
            assert_eq!(ids.len(), expect, "{ids:?}");
            assert!(!ids.contains(&valid.id));
        };
        check(vec![ended(tenant(), Some(now - 31 * DAY_MS), None)], 1);
        check(vec![ended(tenant(), Some(now - 29 * DAY_MS), None)], 0);
        check(vec![ended(tenant(), None, Some(now - 31 * DAY_MS))], 1);
        check(vec![ended(tenant(), None, Some(now + 1))], 0);
        let many = |scope: Scope| (0..130).map(move |n| ended(scope.clone(), Some(now - n), None));
        check(many(tenant()).chain(many(Scope::Admin)).collect(), 60);
        let newest = ended(tenant(), Some(now), None);
        let ids = ended_long_ago(
            &Directory::with_keys(
                many(tenant()).skip(1).chain([newest.clone(), ended(tenant(), None, None)]).collect(),
            ),
            now,
        );
        assert!(!ids.contains(&newest.id), "the newest are kept");
    }

    #[test]
    fn the_last_keys_are_kept_so_that_the_server_does_not_become_open() {
        let old = || ended(Scope::Admin, Some(1), None);
        assert!(ended_long_ago(&Directory::with_keys(vec![old(), old()]), 1000 * DAY_MS).is_empty());
    }
}
