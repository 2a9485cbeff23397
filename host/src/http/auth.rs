//! Authentication of requests: extractors that turn headers into a proof of access.
//!
//! Owns the headers that may carry a key, and the definition of a local request. The control plane makes the decision.
//! A handler that takes [`TenantCtx`] or [`AdminCtx`] runs only after the control plane has granted that access.

#[cfg(test)]
mod fuzz;

use std::net::IpAddr;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Uri, header};
use base64::Engine as _;
use lector_control::{Admin, Credentials, Principal};
use lector_core::Fault;

use super::AppState;
use super::connection_table::Peer;
use super::middleware::RequestCtx;
use super::problem::{self, Problem, option_invalid};
use super::proxy::Forwarded;

static API_KEY: HeaderName = HeaderName::from_static("x-api-key");
static AZURE_KEY: HeaderName = HeaderName::from_static("ocp-apim-subscription-key");
static FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
static TENANT: HeaderName = HeaderName::from_static("x-lector-tenant");

/// Proof of access to one tenant.
pub(super) struct TenantCtx(pub(super) Principal);

/// Proof of administrator access.
pub(super) struct AdminCtx(pub(super) Admin);

impl FromRequestParts<AppState> for TenantCtx {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> Result<Self, Problem> {
        let principal = state.control.principal(credentials(parts, state)?)?;
        Ok(Self(principal.of_request(&request(parts)?.id)))
    }
}

impl FromRequestParts<AppState> for AdminCtx {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> Result<Self, Problem> {
        let admin = state.control.admin(credentials(parts, state)?)?;
        Ok(Self(admin.of_request(&request(parts)?.id)))
    }
}

fn request(parts: &Parts) -> Result<&RequestCtx, Fault> {
    parts.extensions.get().ok_or_else(|| problem::internal("a request without its middleware context"))
}

/// Authenticates a client of other software, which sends its key in the way of that software. A server without keys
/// ignores the key, because such clients must be configured with one.
pub(super) fn dialect_principal(parts: &Parts, state: &AppState) -> Result<Principal, Fault> {
    let key = dialect_key(&parts.headers).filter(|_| !state.control.is_open());
    let principal = state.control.principal(credentials_with(parts, state, key.as_deref())?)?;
    Ok(principal.of_request(&request(parts)?.id))
}

fn credentials<'a>(parts: &'a Parts, state: &AppState) -> Result<Credentials<'a>, Fault> {
    let key = key(&parts.headers)?;
    credentials_with(parts, state, key)
}

fn credentials_with<'a>(
    parts: &'a Parts,
    state: &AppState,
    key: Option<&'a str>,
) -> Result<Credentials<'a>, Fault> {
    let headers = &parts.headers;
    let tenant = headers.get(&TENANT).map(|value| value.to_str()).transpose();
    let tenant = tenant.map_err(|_| {
        option_invalid(format!("The header `{TENANT}` is not a valid name: send ASCII text."))
    })?;
    let origin = RequestOrigin::of(&parts.uri, headers);
    let on_loopback = state.config.listen.ip().is_loopback();
    // The client of a proxy on this machine is on another one.
    let by_proxy = parts.extensions.get::<Forwarded>().is_some_and(|forwarded| forwarded.by_proxy);
    let local = on_loopback && origin == RequestOrigin::Loopback && !by_proxy;
    // On a public address the server does not know its names, and only pages of other sites are foreign.
    let foreign = origin == RequestOrigin::OtherSite || (on_loopback && !local);
    let peer = parts.extensions.get::<Peer>().map(|peer| peer.0);
    Ok(Credentials { key, tenant, local, foreign, peer })
}

/// Returns whether the request may see metrics with tenant labels: it has an administrator's key, or comes from this
/// machine to a server without keys. Without a key, other requests may not; a key must be that of an administrator.
pub(super) fn may_see_tenants(parts: &Parts, state: &AppState) -> Result<bool, Fault> {
    let credentials = credentials(parts, state)?;
    match credentials.key {
        Some(_) => state.control.admin(credentials).map(|_| true),
        None => Ok(state.control.is_open() && credentials.local),
    }
}

/// Returns the key of a request: from `Authorization: Bearer` or `X-Api-Key`. Two different keys are an error.
fn key(headers: &HeaderMap) -> Result<Option<&str>, Fault> {
    let text = |name: &HeaderName| {
        let mut values = headers.get_all(name).iter();
        match (values.next(), values.next()) {
            (None, _) => Ok(None),
            (Some(value), None) => value.to_str().map(Some).map_err(|_| ()),
            _ => Err(()),
        }
    };
    let unclear =
        |()| option_invalid("The key cannot be read: send it in one header, exactly as it was issued.");
    let bearer = match text(&header::AUTHORIZATION).map_err(unclear)? {
        None => None,
        Some(value) => match value.split_once(' ') {
            Some((scheme, key)) if scheme.eq_ignore_ascii_case("bearer") => Some(key.trim()),
            // Credentials of another scheme may be meant for a proxy, and are ignored here.
            _ => None,
        },
    };
    match (bearer, text(&API_KEY).map_err(unclear)?.map(str::trim)) {
        (Some(one), Some(two)) if one != two => {
            Err(option_invalid("`Authorization` and `X-Api-Key` contain different keys: send one of them."))
        }
        (one, two) => Ok(one.or(two)),
    }
}

/// Returns the key of a client of other software: the first of `Authorization: Bearer` or `token`, `X-Api-Key`,
/// `Ocp-Apim-Subscription-Key`, and `Authorization: Basic` (the password, or the user name if it is empty), which is what
/// an HTTP library sends for the address `http://x:KEY@host`.
fn dialect_key(headers: &HeaderMap) -> Option<String> {
    let text = |name: &HeaderName| {
        let value = headers.get(name).and_then(|value| value.to_str().ok());
        value.map(str::trim).filter(|value| !value.is_empty())
    };
    let authorization = text(&header::AUTHORIZATION).and_then(|value| value.split_once(' '));
    let scheme = |names: &[&str]| {
        let (scheme, rest) = authorization?;
        let known = names.iter().any(|name| scheme.eq_ignore_ascii_case(name));
        known.then(|| rest.trim()).filter(|rest| !rest.is_empty())
    };
    let plain = scheme(&["bearer", "token"]).or_else(|| text(&API_KEY)).or_else(|| text(&AZURE_KEY));
    plain.map(str::to_owned).or_else(|| {
        let pair = base64::engine::general_purpose::STANDARD.decode(scheme(&["basic"])?).ok()?;
        let pair = String::from_utf8(pair).ok()?;
        let (user, password) = pair.split_once(':').unwrap_or((&pair, ""));
        Some(if password.is_empty() { user } else { password }.to_owned()).filter(|key| !key.is_empty())
    })
}

/// The address and the site that a request names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum RequestOrigin {
    /// A loopback name; no page, or a page of this server.
    Loopback,
    /// Another name, as after DNS rebinding; no page, or a page of this server.
    OtherName,
    /// A page of another site in a browser.
    OtherSite,
}

impl RequestOrigin {
    /// Reads `Host`, `Origin` and `Sec-Fetch-Site`. A page of another site in a browser on this machine must not use a
    /// server without keys; a foreign name that resolves to this machine (DNS rebinding) is not local.
    fn of(uri: &Uri, headers: &HeaderMap) -> Self {
        let host = headers.get(header::HOST).and_then(|value| value.to_str().ok());
        let authority = host.or(uri.authority().map(|authority| authority.as_str()));
        let origin = headers.get(header::ORIGIN).map(|value| value.to_str().unwrap_or("?"));
        let own = |origin: &str| {
            let of = |scheme: &str| authority.is_some_and(|own| origin == format!("{scheme}://{own}"));
            of("http") || of("https")
        };
        // Browsers send it with requests without `Origin`, too, and no page can set it.
        let fetch_site = headers.get(&FETCH_SITE).map(HeaderValue::as_bytes);
        if !origin.is_none_or(own) || fetch_site == Some(b"cross-site".as_slice()) {
            return Self::OtherSite;
        }
        if authority.is_some_and(is_loopback) { Self::Loopback } else { Self::OtherName }
    }
}

fn is_loopback(authority: &str) -> bool {
    let (host, rest) = match authority.strip_prefix('[') {
        Some(v6) => v6.split_once(']').unwrap_or_default(),
        None => authority.find(':').map_or((authority, ""), |colon| authority.split_at(colon)),
    };
    // Whatever follows the host must be a port: `[::1]evil.example` is a name of another machine.
    let is_port = rest.is_empty() || rest.strip_prefix(':').is_some_and(|port| port.parse::<u16>().is_ok());
    if !is_port {
        return false;
    }
    host.eq_ignore_ascii_case("localhost") || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    fn headers(pairs: &[(&str, &str)]) -> HeaderMap {
        let pairs = pairs.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()));
        pairs.fold(HeaderMap::new(), |mut map, (name, value): (HeaderName, _)| {
            map.append(name, value);
            map
        })
    }

    #[test]
    fn keys_come_from_either_of_two_headers() {
        let check = |pairs: &[(&str, &str)], expect: Result<Option<&str>, ()>| {
            let headers = headers(pairs);
            assert_eq!(key(&headers).map_err(|_| ()), expect, "{pairs:?}");
        };
        check(&[], Ok(None));
        check(&[("authorization", "Bearer k1")], Ok(Some("k1")));
        check(&[("authorization", "bearer  k1 ")], Ok(Some("k1")));
        check(&[("x-api-key", "k1")], Ok(Some("k1")));
        check(&[("x-api-key", "k1"), ("authorization", "Bearer k1")], Ok(Some("k1")));
        check(&[("x-api-key", "k1"), ("authorization", "Bearer k2")], Err(()));
        check(&[("x-api-key", "k1"), ("x-api-key", "k1")], Err(()));
        check(&[("authorization", "Basic abc"), ("x-api-key", "k1")], Ok(Some("k1")));
        check(&[("authorization", "Basic abc")], Ok(None));
    }

    #[test]
    fn keys_of_other_software_come_in_its_headers() {
        let check = |pairs: &[(&str, &str)], expect: Option<&str>| {
            assert_eq!(dialect_key(&headers(pairs)).as_deref(), expect, "{pairs:?}");
        };
        check(&[], None);
        for scheme in ["Bearer", "bearer", "token", "Token"] {
            check(&[("authorization", &format!("{scheme} k1"))], Some("k1"));
        }
        check(&[("authorization", "Bearer ")], None);
        check(&[("authorization", "Bearer "), ("x-api-key", "k2")], Some("k2"));
        check(&[("authorization", "Bearer k1"), ("x-api-key", "k2")], Some("k1"));
        check(&[("ocp-apim-subscription-key", "k3")], Some("k3"));
        // x:k4, k5: and :k6 in base64.
        check(&[("authorization", "Basic eDprNA==")], Some("k4"));
        check(&[("authorization", "basic azU6")], Some("k5"));
        check(&[("authorization", "Basic Oms2")], Some("k6"));
        check(&[("authorization", "Basic eDprNA=="), ("x-api-key", "k2")], Some("k2"));
        check(&[("authorization", "Basic !")], None);
    }

    #[test]
    fn the_origin_of_requests() {
        use RequestOrigin::{Loopback, OtherName, OtherSite};
        let check = |pairs: &[(&str, &str)], expect: RequestOrigin| {
            assert_eq!(RequestOrigin::of(&"/x".parse().unwrap(), &headers(pairs)), expect, "{pairs:?}");
        };
        for local in ["127.0.0.1:8080", "localhost", "LOCALHOST:1", "[::1]:80", "[::1]", "127.1.2.3"] {
            check(&[("host", local)], Loopback);
        }
        for other in [
            "[::1]evil.example",
            "[::1]:80.evil.example",
            "127.0.0.1:8080:evil.example",
            "localhost:",
            "evil.example:8080",
            "127.0.0.1.evil.example",
            "10.0.0.1",
            "",
        ] {
            check(&[("host", other)], OtherName);
        }
        check(&[], OtherName);
        let here = ("host", "127.0.0.1:8080");
        check(&[here, ("origin", "http://127.0.0.1:8080")], Loopback);
        check(&[here, ("origin", "https://evil.example")], OtherSite);
        check(&[here, ("origin", "http://127.0.0.1:3000")], OtherSite);
        check(&[here, ("origin", "null")], OtherSite);
        check(&[here, ("sec-fetch-site", "cross-site")], OtherSite);
        check(&[here, ("sec-fetch-site", "same-origin")], Loopback);
        check(&[here, ("sec-fetch-site", "none")], Loopback);
        check(&[("host", "evil.example"), ("origin", "http://evil.example")], OtherName);
        check(&[("host", "ocr.example"), ("origin", "https://ocr.example")], OtherName);
    }
}
