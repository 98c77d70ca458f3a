//! A network that fails: a proxy before the server that counts bytes, and at one of them does what networks do.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// Which way the bytes go.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Way {
    /// From dxt to the server.
    Up,
    /// From the server to dxt.
    Down,
}

/// What happens.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fault {
    None,
    /// The connection is closed, both ways.
    Cut,
    /// The stream ends, as if the sender had said all; the other way stays open.
    Truncate,
    /// Nothing moves any more on this connection, and it stays open.
    Stall,
    /// Nothing moves any more on any connection, new ones included.
    Blackout,
    /// All passes in small pieces with pauses, from the first byte on.
    Slow,
}

struct State {
    fault: Fault,
    way: Way,
    at: usize,
    /// Bytes up and down, of all connections.
    passed: [AtomicUsize; 2],
    dark: AtomicBool,
    ended: AtomicBool,
    sockets: Mutex<Vec<TcpStream>>,
}

/// The proxy. Dropped, it closes all of its connections.
pub struct Proxy {
    pub port: u16,
    state: Arc<State>,
}

impl Proxy {
    /// A proxy to a local port, whose fault comes with byte `at` of one way.
    pub fn new(server: u16, fault: Fault, way: Way, at: usize) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let state = Arc::new(State {
            fault,
            way,
            at,
            passed: Default::default(),
            dark: AtomicBool::new(false),
            ended: AtomicBool::new(false),
            sockets: Mutex::default(),
        });
        let shared = state.clone();
        std::thread::spawn(move || {
            for client in listener.incoming() {
                if shared.ended.load(Ordering::SeqCst) {
                    return;
                }
                let (client, server) = (client.unwrap(), TcpStream::connect(("127.0.0.1", server)).unwrap());
                // Small pieces are sent at once.
                let _ = (client.set_nodelay(true), server.set_nodelay(true));
                let stalled = Arc::new(AtomicBool::new(false));
                for (from, to, way) in [(&client, &server, Way::Up), (&server, &client, Way::Down)] {
                    let (from, to) = (from.try_clone().unwrap(), to.try_clone().unwrap());
                    let (state, stalled) = (shared.clone(), stalled.clone());
                    std::thread::spawn(move || state.pump(from, to, way, &stalled));
                }
                shared.sockets.lock().unwrap().extend([client, server]);
            }
        });
        Self { port, state }
    }

    /// Bytes that have passed one way.
    pub fn passed(&self, way: Way) -> usize {
        self.state.passed[way as usize].load(Ordering::SeqCst)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.state.ended.store(true, Ordering::SeqCst);
        for socket in self.state.sockets.lock().unwrap().iter() {
            let _ = socket.shutdown(Shutdown::Both);
        }
        // Wakes the listener, so that its thread ends.
        let _ = TcpStream::connect(("127.0.0.1", self.port));
    }
}

impl State {
    fn pump(&self, mut from: TcpStream, mut to: TcpStream, way: Way, stalled: &AtomicBool) {
        let mut buffer = vec![0; if self.fault == Fault::Slow { 1 << 10 } else { 16 << 10 }];
        loop {
            let read = from.read(&mut buffer).unwrap_or(0);
            self.hold(stalled);
            if read == 0 {
                break;
            }
            let passed = self.passed[way as usize].fetch_add(read, Ordering::SeqCst);
            let faulty = way == self.way && (passed..passed + read).contains(&self.at);
            let piece = match self.fault {
                Fault::None => read,
                Fault::Slow => {
                    std::thread::sleep(Duration::from_millis(5));
                    read
                }
                _ if faulty => self.at - passed,
                _ => read,
            };
            if to.write_all(&buffer[..piece]).is_err() {
                break;
            }
            if piece < read {
                match self.fault {
                    Fault::Truncate => {
                        let _ = to.shutdown(Shutdown::Write);
                        while from.read(&mut buffer).is_ok_and(|read| read > 0) {}
                    }
                    Fault::Stall => stalled.store(true, Ordering::SeqCst),
                    Fault::Blackout => self.dark.store(true, Ordering::SeqCst),
                    _ => break,
                }
                self.hold(stalled);
                break;
            }
        }
        let _ = (to.shutdown(Shutdown::Both), from.shutdown(Shutdown::Both));
    }

    /// Keeps a connection open and silent until the proxy ends.
    fn hold(&self, stalled: &AtomicBool) {
        while (stalled.load(Ordering::SeqCst) || self.dark.load(Ordering::SeqCst)) && !self.ended.load(Ordering::SeqCst)
        {
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}
