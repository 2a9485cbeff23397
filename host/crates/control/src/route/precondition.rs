//! Preconditions of a change of a route: the route that the caller has seen.

use lector_core::{DeploymentName, Fault, Kind};

use super::RouteRecord;

/// The route that a caller expects a deployment to have. Without members, every route is accepted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RoutePrecondition {
    /// Entity tags of the route, of which one must match.
    pub etags: Option<EntityTags>,
    /// The stable revision; 0: none.
    pub revision: Option<u32>,
}

/// The entity tags of `If-Match` (RFC 9110, section 13.1.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EntityTags {
    /// `*`: any route of an existing deployment.
    Any,
    /// One of these, with their quotes.
    OneOf(Vec<String>),
}

/// Returns the entity tag of a route. It changes with every change of the route, also if the deployment was deleted and
/// created again.
pub(crate) fn etag(version: u64, changed_at_ms: u64) -> String {
    format!("\"{version}-{changed_at_ms:x}\"")
}

impl RoutePrecondition {
    /// Checks the route of a deployment; `None`: there is no such deployment. Fault: `precondition_failed`.
    pub(crate) fn check(&self, name: &DeploymentName, route: Option<&RouteRecord>) -> Result<(), Fault> {
        let tag = route.map(|route| etag(route.version, route.changed_at_ms));
        let tag_fits = match (&self.etags, &tag) {
            (None, _) | (Some(EntityTags::Any), Some(_)) => true,
            (Some(EntityTags::OneOf(expected)), Some(tag)) => expected.contains(tag),
            (Some(_), None) => false,
        };
        let live = route.and_then(RouteRecord::stable);
        let revision_fits = self.revision.is_none_or(|expected| expected == live.unwrap_or(0));
        if tag_fits && revision_fits {
            return Ok(());
        }
        let live = live.map_or_else(|| "no live revision".to_owned(), |live| format!("live revision {live}"));
        let now = tag.map_or_else(|| "no route".to_owned(), |tag| format!("{live} and ETag {tag}"));
        let mut expected = Vec::new();
        match self.revision {
            Some(0) => expected.push("no live revision".to_owned()),
            Some(revision) => expected.push(format!("live revision {revision}")),
            None => {}
        }
        match &self.etags {
            Some(EntityTags::Any) => expected.push("an existing deployment".to_owned()),
            Some(EntityTags::OneOf(tags)) => {
                let tags: String = tags.join(" or ").chars().filter(|c| !c.is_control()).take(200).collect();
                expected.push(format!("ETag {tags}"));
            }
            None => {}
        }
        let expected = expected.join(" and ");
        let message = format!(
            "Deployment `{name}` has {now}, and the request expects {expected}: read the deployment and decide again."
        );
        Err(Fault::new(Kind::Conflict, "precondition_failed", message))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    #[test]
    fn a_precondition_names_both_values() {
        let name = DeploymentName::from("invoices");
        let route = RouteRecord::new("acme".into(), name.clone()).promote(3, None, 0x1f);
        let tags =
            |tags: &[&str]| Some(EntityTags::OneOf(tags.iter().map(|tag| (*tag).to_owned()).collect()));
        let check = |etags: Option<EntityTags>, revision: Option<u32>, route: Option<&RouteRecord>| {
            RoutePrecondition { etags, revision }.check(&name, route)
        };
        let own = etag(route.version, route.changed_at_ms);
        assert_eq!(own, "\"1-1f\"");
        assert!(check(None, None, None).is_ok() && check(None, None, Some(&route)).is_ok());
        assert!(check(tags(&["\"0-0\"", &own]), Some(3), Some(&route)).is_ok());
        assert!(check(Some(EntityTags::Any), None, Some(&route)).is_ok());
        assert!(check(None, Some(0), None).is_ok(), "0: no live revision yet");
        for (etags, revision, route, expected) in [
            (tags(&["\"0-0\""]), None, Some(&route), ["1-1f", "0-0"]),
            (None, Some(2), Some(&route), ["live revision 3", "live revision 2"]),
            (None, Some(0), Some(&route), ["live revision 3", "no live revision"]),
            (Some(EntityTags::Any), None, None, ["no route", "an existing deployment"]),
            (None, Some(3), None, ["no route", "live revision 3"]),
        ] {
            let fault = check(etags, revision, route).unwrap_err();
            assert_eq!(fault.code, "precondition_failed");
            assert!(expected.iter().all(|text| fault.message.contains(text)), "{fault}");
        }
    }

    #[test]
    fn the_entity_tag_changes_with_every_change() {
        let route = RouteRecord::new("acme".into(), "d".into()).promote(1, None, 5);
        let of = |route: &RouteRecord| etag(route.version, route.changed_at_ms);
        let next = [route.promote(1, None, 5), route.shadow(2, 10, 5).unwrap(), route.withdraw(5)];
        assert!(next.iter().all(|next| of(next) != of(&route)));
        // A deployment of the same name that was created later.
        assert_ne!(of(&RouteRecord::new("acme".into(), "d".into()).promote(1, None, 6)), of(&route));
    }
}
