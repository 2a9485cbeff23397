//! Lists of the server: collects all pages of one.

use anyhow::{Context, bail};
use reqwest::RequestBuilder;
use serde_json::Value;

use super::super::server_client::Server;

/// Items of each page; the maximum of the server.
const LIMIT: u32 = 1000;

/// Requests all pages of a list, and returns them as one list without `next`.
pub(in crate::cli) async fn all(server: &Server<'_>, request: RequestBuilder) -> anyhow::Result<Value> {
    let request = request.query(&[("limit", LIMIT)]);
    let mut list = Value::Null;
    let mut cursor: Option<String> = None;
    loop {
        let page = request.try_clone().context("a request for a list has no body")?;
        let page = match &cursor {
            Some(cursor) => page.query(&[("cursor", cursor)]),
            None => page,
        };
        let mut page = server.json(page).await?.context("the server sent no list")?;
        let next = page.as_object_mut().and_then(|members| members.remove("next"));
        append(&mut list, page);
        match next {
            Some(Value::String(next)) if cursor.as_ref() == Some(&next) => {
                bail!("the server sent the same page twice: report this, with the version of the server")
            }
            Some(Value::String(next)) => cursor = Some(next),
            _ => return Ok(list),
        }
    }
}

/// Appends the items of a page to those of the pages before; other members are those of the first page.
fn append(list: &mut Value, page: Value) {
    let (Value::Object(list), Value::Object(page)) = (&mut *list, &page) else { return *list = page };
    for (name, value) in page {
        match (list.get_mut(name), value) {
            (Some(Value::Array(items)), Value::Array(more)) => items.extend(more.iter().cloned()),
            (Some(_), _) => {}
            (None, value) => _ = list.insert(name.clone(), value.clone()),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn pages_are_one_list() {
        let mut list = Value::Null;
        append(&mut list, json!({ "keys": [1, 2], "upgrading": true }));
        append(&mut list, json!({ "keys": [3], "upgrading": false, "damaged": [4] }));
        append(&mut list, json!({ "keys": [], "damaged": [5] }));
        assert_eq!(list, json!({ "keys": [1, 2, 3], "upgrading": true, "damaged": [4, 5] }));
    }
}
