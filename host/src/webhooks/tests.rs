#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
use lector_jobs::AddressRange;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use super::*;

fn sender(allow: &[&str], timeout: Duration) -> WebhookClient {
    let allow = allow.iter().map(|text| AddressRange::parse(text).unwrap()).collect();
    WebhookClient::new(EgressPolicy { allow }, timeout).unwrap()
}

fn message(url: &str) -> WebhookRequest {
    let headers = vec![("webhook-id", "msg_1".to_owned()), ("content-type", "application/json".to_owned())];
    WebhookRequest { url: url.to_owned(), headers, body: b"{\"a\":1}".to_vec() }
}

/// A receiver that writes `answer` to each connection and keeps it open; returns what it has read of each.
async fn receiver(answer: &'static str) -> (u16, JoinHandle<Vec<String>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let task = tokio::spawn(async move {
        let (mut seen, mut open) = (Vec::new(), Vec::new());
        // Ends with the first connection that does not come in time.
        while let Ok(Ok((mut stream, _))) =
            tokio::time::timeout(Duration::from_millis(700), listener.accept()).await
        {
            let mut text = vec![0; 4096];
            let mut length = 0;
            while !String::from_utf8_lossy(&text[..length]).contains("{\"a\":1}") {
                match stream.read(&mut text[length..]).await {
                    Ok(read) if read > 0 => length += read,
                    _ => break,
                }
            }
            let _ = stream.write_all(answer.as_bytes()).await;
            seen.push(String::from_utf8_lossy(&text[..length]).into_owned());
            open.push(stream);
        }
        seen
    });
    (port, task)
}

const MINUTE: Duration = Duration::from_secs(60);

#[tokio::test]
async fn a_message_arrives_with_its_headers() {
    let (port, seen) = receiver("HTTP/1.1 204 No Content\r\n\r\n").await;
    let url = format!("http://user:word@127.0.0.1:{port}/hook?x=1");
    assert_eq!(sender(&["127.0.0.1"], MINUTE).send(message(&url)).await, Ok(204));
    let seen = seen.await.unwrap();
    assert!(seen[0].starts_with("POST /hook?x=1 HTTP/1.1\r\n"), "{seen:?}");
    for part in [
        "webhook-id: msg_1\r\n",
        "content-type: application/json\r\n",
        &format!("host: 127.0.0.1:{port}\r\n"),
    ] {
        assert!(seen[0].contains(part), "{part}: {seen:?}");
    }
    assert!(!seen[0].contains("word"), "{seen:?}");
}

#[tokio::test]
async fn a_redirect_is_an_answer_and_is_not_followed() {
    let (target, unseen) = receiver("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
    let answer = format!(
        "HTTP/1.1 307 Temporary Redirect\r\nlocation: http://127.0.0.1:{target}/\r\ncontent-length: 0\r\n\r\n"
    );
    let (port, _) = receiver(answer.leak()).await;
    let url = format!("http://127.0.0.1:{port}/");
    assert_eq!(sender(&["127.0.0.1"], MINUTE).send(message(&url)).await, Ok(307));
    assert!(unseen.await.unwrap().is_empty());
}

/// Receivers that do not answer, answer with something else, or lie about the length of a body that never comes.
#[tokio::test]
async fn slow_and_lying_receivers_end_with_the_timeout_or_an_error() {
    let (port, _) = receiver("").await;
    let url = format!("http://127.0.0.1:{port}/");
    let error = sender(&["127.0.0.1"], Duration::from_millis(100)).send(message(&url)).await.unwrap_err();
    assert!(error.contains("did not answer within 0.1 s"), "{error}");
    let (port, _) = receiver("this is not HTTP\r\n\r\n").await;
    let url = format!("http://127.0.0.1:{port}/");
    assert!(sender(&["127.0.0.1"], MINUTE).send(message(&url)).await.is_err());
    let (port, _) = receiver("HTTP/1.1 200 OK\r\ncontent-length: 1000000000\r\n\r\nx").await;
    let url = format!("http://127.0.0.1:{port}/");
    assert_eq!(sender(&["127.0.0.1"], MINUTE).send(message(&url)).await, Ok(200), "the body is not read");
}

#[tokio::test]
async fn addresses_that_are_not_public_are_refused_before_a_connection_is_made() {
    let (port, unseen) = receiver("HTTP/1.1 200 OK\r\n\r\n").await;
    let closed = sender(&[], MINUTE);
    for host in
        ["127.0.0.1", "localhost", "[::1]", "[::ffff:127.0.0.1]", "127.1", "2130706433", "0x7f.1", "0.0.0.0"]
    {
        let error = closed.send(message(&format!("http://{host}:{port}/"))).await.unwrap_err();
        // Some of these are names that do not resolve, depending on the system.
        assert!(!error.is_empty(), "{host}");
        if ["127.0.0.1", "localhost", "[::1]", "0.0.0.0"].contains(&host) {
            assert!(error.contains("is not a public address"), "{host}: {error}");
        }
    }
    for url in ["ftp://127.0.0.1/", "file:///etc/passwd", "/relative", "http://", "nonsense"] {
        assert!(closed.send(message(url)).await.is_err(), "{url}");
    }
    assert!(unseen.await.unwrap().is_empty(), "no connection was made");
}

#[test]
fn a_name_keeps_only_its_permitted_addresses() {
    let policy = EgressPolicy::default();
    let found = ["10.0.0.1:0", "8.8.8.8:0", "[::1]:0"].map(|text| text.parse().unwrap());
    let kept = permitted(&policy, "x", found.into_iter()).unwrap();
    assert_eq!(kept, ["8.8.8.8:0".parse().unwrap()]);
    let only_private = ["10.0.0.1:0"].map(|text| text.parse().unwrap());
    assert!(permitted(&policy, "x", only_private.into_iter()).unwrap_err().contains("not a public address"));
}
