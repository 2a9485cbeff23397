//! Real connections: the reload of the gateway, and the handover of its socket.

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use super::app::TestApp;
use crate::config::HttpConfig;
use crate::http::{Drained, Ending, Gateway, serve};

/// A gateway on a socket, with a copy of the socket.
async fn listening(app: &TestApp) -> (Arc<Gateway>, Ending, std::net::TcpListener, JoinHandle<Drained>) {
    let socket = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    socket.set_nonblocking(true).unwrap();
    let (gateway, ending) = (Gateway::new(app.state()), Ending::default());
    let listener = TcpListener::from_std(socket.try_clone().unwrap()).unwrap();
    let serving = tokio::spawn(serve(listener, None, gateway.clone(), ending.clone()));
    (gateway, ending, socket, serving)
}

async fn connect(socket: &std::net::TcpListener) -> TcpStream {
    let address: SocketAddr = socket.local_addr().unwrap();
    TcpStream::connect(address).await.unwrap()
}

async fn send(stream: &mut TcpStream, path: &str) {
    stream.write_all(format!("GET {path} HTTP/1.1\r\nhost: localhost\r\n\r\n").as_bytes()).await.unwrap();
}

/// Reads the head of an answer, in lower case, and its body.
async fn answer(stream: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&bytes).to_lowercase();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head.lines().find_map(|line| line.strip_prefix("content-length:")).unwrap();
            if body.len() >= length.trim().parse().unwrap() {
                return text;
            }
        }
        assert_ne!(stream.read_buf(&mut bytes).await.unwrap(), 0, "closed: {text}");
    }
}

#[tokio::test]
async fn a_reload_applies_to_later_requests_of_an_open_connection() {
    let app = TestApp::start().await;
    let (gateway, ending, socket, serving) = listening(&app).await;
    let mut open = connect(&socket).await;
    send(&mut open, "/docs").await;
    assert!(answer(&mut open).await.starts_with("http/1.1 200"));
    let config = HttpConfig { private_operations: true, ..(*gateway.config()).clone() };
    gateway.reconfigure(config);
    send(&mut open, "/docs").await;
    assert!(answer(&mut open).await.starts_with("http/1.1 404"));
    drop(open);
    ending.close();
    assert_eq!(serving.await.unwrap(), Drained { cut_off: 0 });
}

#[tokio::test]
async fn a_handover_serves_what_is_being_sent_and_leaves_the_backlog() {
    let app = TestApp::start().await;
    let (_, ending, socket, serving) = listening(&app).await;
    let (mut sends, mut idle) = (connect(&socket).await, connect(&socket).await);
    for stream in [&mut sends, &mut idle] {
        send(stream, "/healthz").await;
        let first = answer(stream).await;
        assert!(first.starts_with("http/1.1 200") && !first.contains("connection: close"), "{first}");
    }
    ending.hand_over();
    send(&mut sends, "/healthz").await;
    let last = answer(&mut sends).await;
    assert!(last.starts_with("http/1.1 200") && last.contains("connection: close"), "{last}");
    let mut late = connect(&socket).await;
    send(&mut late, "/healthz").await;
    assert!(!serving.is_finished(), "a connection is open");
    ending.close();
    assert_eq!(idle.read(&mut [0]).await.unwrap(), 0, "closed without a request");
    // The server waits for the clients to close, for a short time.
    drop((idle, sends));
    assert_eq!(serving.await.unwrap(), Drained { cut_off: 0 });

    // The next holder of the socket answers what has waited.
    let next = Ending::default();
    let listener = TcpListener::from_std(socket.try_clone().unwrap()).unwrap();
    let serving = tokio::spawn(serve(listener, None, Gateway::new(app.state()), next.clone()));
    assert!(answer(&mut late).await.starts_with("http/1.1 200"));
    drop(late);
    next.close();
    serving.await.unwrap();
}
