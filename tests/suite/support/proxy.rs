//! A proxy between dxt and PostgreSQL that does harm.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use super::env;

/// The server's port.
pub fn port() -> String {
    env("DXT_TEST_PG_URL").rsplit(':').next().unwrap().split('/').next().unwrap().to_string()
}

/// What a proxy does with a connection.
#[derive(Clone, Copy)]
pub enum Fault {
    None,
    /// Says that there is no TLS.
    NoTls,
    /// Lets no more bytes through from the server.
    StallDown(usize),
    /// Lets no more bytes through to the server.
    StallUp(usize),
    /// Breaks off after so many bytes from the server.
    Drop(usize),
    /// Closes the first so many connections at once.
    RefuseFirst(usize),
    /// Breaks the first so many of those connections that get so many bytes from the server; then all pass.
    DropFirst(usize, usize),
    /// Passes a COMMIT on, and breaks off before its answer.
    CutCommit,
}

/// Passes connections at `address` on to the server, and gives the port.
pub fn proxy(address: &str, fault: Fault) -> u16 {
    let listener = TcpListener::bind((address, 0)).unwrap();
    let own = listener.local_addr().unwrap().port();
    let server = format!("127.0.0.1:{}", port());
    // What is left to refuse or to break.
    let left = Arc::new(AtomicUsize::new(match fault {
        Fault::RefuseFirst(count) | Fault::DropFirst(count, _) => count,
        _ => 0,
    }));
    std::thread::spawn(move || {
        for client in listener.incoming() {
            let (client, server, left) = (client.unwrap(), server.clone(), left.clone());
            std::thread::spawn(move || pass(client, &server, fault, &left));
        }
    });
    own
}

fn take(left: &AtomicUsize) -> bool {
    left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |n| n.checked_sub(1)).is_ok()
}

fn pass(mut client: TcpStream, server: &str, fault: Fault, left: &AtomicUsize) {
    if matches!(fault, Fault::RefuseFirst(_)) && take(left) {
        let _ = client.shutdown(Shutdown::Both);
        return;
    }
    let server = TcpStream::connect(server).unwrap();
    if matches!(fault, Fault::NoTls) {
        let mut start = [0; 8];
        client.read_exact(&mut start).unwrap();
        if start == [0, 0, 0, 8, 4, 210, 22, 47] {
            client.write_all(b"N").unwrap();
        } else {
            (&server).write_all(&start).unwrap();
        }
    }
    let (up, down) = match fault {
        Fault::StallUp(bytes) => (Some(bytes), None),
        Fault::StallDown(bytes) | Fault::Drop(bytes) | Fault::DropFirst(_, bytes) => (None, Some(bytes)),
        _ => (None, None),
    };
    let breaks = || match fault {
        Fault::Drop(_) => Some(true),
        Fault::DropFirst(..) => Some(take(left)),
        _ => None,
    };
    let (client_too, server_too) = (client.try_clone().unwrap(), server.try_clone().unwrap());
    std::thread::spawn(move || match fault {
        Fault::CutCommit => pump_to_commit(client_too, server_too),
        _ => pump(client_too, server_too, up, || None),
    });
    pump(server, client, down, breaks);
}

/// Copies bytes. Past `limit`, `breaks` says whether to break off; where it says nothing, no more get through.
fn pump(mut from: TcpStream, mut to: TcpStream, mut limit: Option<usize>, breaks: impl Fn() -> Option<bool>) {
    let mut buffer = vec![0; 16 << 10];
    let mut passed = 0;
    while let Ok(read) = from.read(&mut buffer) {
        if read == 0 || to.write_all(&buffer[..read]).is_err() {
            break;
        }
        passed += read;
        if limit.is_some_and(|limit| passed > limit) {
            match breaks() {
                Some(true) => break,
                Some(false) => limit = None,
                // Open, and silent for longer than dxt may take; an end by this would be another error.
                None => std::thread::sleep(Duration::from_secs(30)),
            }
        }
    }
    let _ = (to.shutdown(Shutdown::Both), from.shutdown(Shutdown::Both));
}

fn pump_to_commit(mut from: TcpStream, mut to: TcpStream) {
    let mut buffer = vec![0; 16 << 10];
    while let Ok(read) = from.read(&mut buffer) {
        let commits = buffer[..read].windows(8).any(|w| w == b"; COMMIT");
        if commits {
            // The answer finds nobody.
            let _ = from.shutdown(Shutdown::Both);
        }
        if read == 0 || to.write_all(&buffer[..read]).is_err() || commits {
            break;
        }
    }
    std::thread::sleep(Duration::from_secs(1));
    let _ = (to.shutdown(Shutdown::Both), from.shutdown(Shutdown::Both));
}
