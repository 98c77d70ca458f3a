//! A web server that serves one text, and does harm first.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// What it does before it serves.
#[derive(Clone, Copy)]
pub enum Harm {
    /// Answers the first so many requests with this status.
    Status(usize, &'static str),
    /// Sends half of the text, and then nothing for as long as the client waits.
    Stall,
}

/// Serves `text` at every path; gives the port and the number of requests up to now.
pub fn web(text: String, harm: Harm) -> (u16, Arc<AtomicUsize>) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    let asked = Arc::new(AtomicUsize::new(0));
    let count = asked.clone();
    std::thread::spawn(move || {
        for client in listener.incoming() {
            let (text, count) = (text.clone(), count.clone());
            std::thread::spawn(move || serve(client.unwrap(), &text, harm, &count));
        }
    });
    (port, asked)
}

/// One request for a connection.
fn serve(mut client: TcpStream, text: &str, harm: Harm, count: &AtomicUsize) {
    let mut request = Vec::new();
    let mut byte = [0];
    while !request.ends_with(b"\r\n\r\n") {
        if !matches!(client.read(&mut byte), Ok(1)) {
            return;
        }
        request.push(byte[0]);
    }
    let request = String::from_utf8_lossy(&request).to_ascii_lowercase();
    let number = count.fetch_add(1, Ordering::SeqCst);
    if let Harm::Status(first, status) = harm
        && number < first
    {
        let _ =
            client.write_all(format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n").as_bytes());
        return;
    }
    // `range: bytes=from-to`, both included.
    let range = request.lines().find_map(|line| line.strip_prefix("range: bytes=")).and_then(|r| r.split_once('-'));
    let body = match range {
        Some((from, to)) => {
            let from: usize = from.parse().unwrap();
            let to = to.trim().parse().map_or(text.len(), |to: usize| text.len().min(to + 1));
            &text[from..to]
        }
        None => text,
    };
    let status = if range.is_some() { "206 Partial Content" } else { "200 OK" };
    let mut head = format!(
        "HTTP/1.1 {status}\r\nContent-Length: {}\r\nETag: \"one\"\r\nLast-Modified: Wed, 01 Jan 2025 00:00:00 GMT\r\nConnection: close\r\n",
        body.len()
    );
    if let Some((from, _)) = range {
        let from: usize = from.parse().unwrap();
        head += &format!("Content-Range: bytes {from}-{}/{}\r\n", from + body.len() - 1, text.len());
    }
    let _ = client.write_all((head + "\r\n").as_bytes());
    if request.starts_with("head") {
        return;
    }
    match harm {
        Harm::Stall => {
            let _ = client.write_all(&body.as_bytes()[..body.len() / 2]);
            std::thread::sleep(Duration::from_secs(60));
        }
        Harm::Status(..) => drop(client.write_all(body.as_bytes())),
    }
}
