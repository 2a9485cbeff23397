//! The grants of deploys that name none.

use std::collections::BTreeMap;

use lector_control::{
    Admin, ComponentSource, DeployFault, DeployRequest, Grants, Limits, Principal, Settings, Stage,
    TenantPolicy,
};
use lector_core::ModelName;
use serde_json::json;

use super::{SOON, TestServer, name, server};

type Models = BTreeMap<String, ModelName>;

fn models(of: &[(&str, &str)]) -> Models {
    of.iter().map(|(alias, model)| ((*alias).to_owned(), ModelName::from(*model))).collect()
}

impl TestServer {
    /// Deploys a component, or the newest with other settings, and returns the grants of the new revision.
    async fn granted(
        &self,
        principal: &Principal,
        component: Option<&str>,
        grants: Grants,
    ) -> Result<Models, DeployFault> {
        let place = self.platform.deploy_permit(principal, SOON).await.unwrap();
        let request = DeployRequest {
            deployment: name(),
            component: component.map_or(ComponentSource::Newest, |text| ComponentSource::Bytes(text.into())),
            settings: component.is_none().then(|| Settings::of(&json!({ "n": 1 })).unwrap()),
            grants,
            budget: None,
            wraps: None,
            destination: None,
            precondition: Default::default(),
        };
        let number = self.platform.deploy(place, principal, request).await?.number;
        Ok(self.platform.revision(principal, &name(), number).unwrap().parts.unwrap().grants)
    }
}

#[tokio::test]
async fn a_deploy_without_grants_has_those_of_the_newest_revision() {
    let server = server().await;
    let tenant = server.tenant("acme", Limits::default()).await;
    let all = models(&[("detection", "model"), ("spare", "spare")]);
    assert_eq!(server.granted(&tenant, Some("one"), Grants::Inherited).await.unwrap(), all, "the first");
    let few = models(&[("detection", "spare")]);
    assert_eq!(server.granted(&tenant, Some("two"), Grants::Named(few.clone())).await.unwrap(), few);
    assert_eq!(server.granted(&tenant, Some("three"), Grants::Inherited).await.unwrap(), few);
    assert_eq!(server.granted(&tenant, None, Grants::Inherited).await.unwrap(), few, "other settings alone");

    // A guest that opens one more model.
    let DeployFault { stage, fault } =
        server.granted(&tenant, Some("opens spare"), Grants::Inherited).await.unwrap_err();
    assert_eq!((stage, fault.code), (Stage::Configured, "grant_missing"));
    for part in [": spare.", "revision 4", "`--grant ALIAS=MODEL`", "`--all-models`"] {
        assert!(fault.message.contains(part), "{fault}");
    }
    assert_eq!(server.granted(&tenant, Some("opens spare"), Grants::All).await.unwrap(), all);

    // A model that the tenant no longer has is not inherited.
    let policy = json!({ "models": { "detection": "model" } });
    let policy = serde_json::from_value::<TenantPolicy>(policy).unwrap();
    let admin = Admin::of_this_machine();
    server.platform.put_tenant(&admin, "acme".into(), policy).await.unwrap();
    let shown = lector_control::Credentials { tenant: Some("acme"), local: true, ..Default::default() };
    let tenant = server.platform.principal(shown).unwrap();
    let fault = server.granted(&tenant, Some("opens spare"), Grants::Inherited).await.unwrap_err().fault;
    assert_eq!(fault.code, "grant_missing");
    assert_eq!(
        server.granted(&tenant, Some("four"), Grants::Inherited).await.unwrap(),
        models(&[("detection", "model")])
    );
}

#[tokio::test]
async fn the_grants_of_a_deploy_are_few_and_short() {
    let server = server().await;
    let tenant = server.tenant("acme", Limits::default()).await;
    let many: Models = (0..129).map(|number| (format!("alias-{number}"), "model".into())).collect();
    let long = models(&[(&"x".repeat(257), "model")]);
    for grants in [many, long] {
        let fault = server.granted(&tenant, Some("one"), Grants::Named(grants)).await.unwrap_err().fault;
        assert_eq!(fault.code, "body_invalid", "{fault}");
    }
}
