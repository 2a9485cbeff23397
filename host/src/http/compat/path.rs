//! Normalization of paths: clients join their configured address and the path with two slashes, or end it with one.

use axum::http::Uri;
use axum::http::uri::PathAndQuery;

/// Returns the address without empty path segments; `None` if there is none to remove.
pub(in crate::http) fn normal_path(uri: &Uri) -> Option<Uri> {
    let path = uri.path();
    let segments: Vec<&str> = path.split('/').filter(|segment| !segment.is_empty()).collect();
    let normal = format!("/{}", segments.join("/"));
    if normal == path {
        return None;
    }
    let query = uri.query().map(|query| format!("?{query}")).unwrap_or_default();
    let mut parts = uri.clone().into_parts();
    parts.path_and_query = Some(PathAndQuery::try_from(format!("{normal}{query}")).ok()?);
    Uri::from_parts(parts).ok()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    #[test]
    fn empty_segments_are_removed() {
        let check = |path: &str, expect: Option<&str>| {
            let normal = normal_path(&path.parse().unwrap());
            assert_eq!(normal.map(|uri| uri.to_string()).as_deref(), expect, "{path}");
        };
        check("/v1/ocr", None);
        check("/", None);
        check("/v1/ocr/", Some("/v1/ocr"));
        check("//v1//ocr///", Some("/v1/ocr"));
        check("//documentintelligence/x:analyze?a=b//c", Some("/documentintelligence/x:analyze?a=b//c"));
        check("http://host:1//v1/ocr", Some("http://host:1/v1/ocr"));
    }
}
